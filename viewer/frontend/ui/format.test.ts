import assert from "node:assert/strict";
import test from "node:test";
import { age, bytes, date, duration, exam, modality, moment, sexAndAge, time, timeWithSeconds } from "./format.ts";

const SHANGHAI = "Asia/Shanghai";

test("moments stand in the site's zone", () => {
  assert.equal(time("2026-11-18T06:32:08Z", SHANGHAI), "14:32");
  assert.equal(timeWithSeconds("2026-11-18T06:32:08.900Z", SHANGHAI), "14:32:08");
  assert.equal(time("2026-11-18T16:05:00Z", SHANGHAI), "00:05");
});

test("dates drop the year only within the present one of the site", () => {
  assert.equal(date("2026-11-17T16:00:00Z", "2026-12-31T15:59:59Z", SHANGHAI), "11-18");
  assert.equal(date("2025-03-09T01:00:00Z", "2026-11-18T06:00:00Z", SHANGHAI), "2025-03-09");
  assert.equal(date("2026-12-31T16:00:00Z", "2027-01-01T00:00:00Z", SHANGHAI), "01-01");
  assert.equal(moment("2026-11-18T06:32:08Z", "2026-11-18T15:59:00Z", SHANGHAI), "14:32");
  assert.equal(moment("2026-11-18T06:32:08Z", "2026-11-18T16:00:00Z", SHANGHAI), "11-18 14:32");
});

test("durations", () => {
  assert.equal(duration(0), "00:00");
  assert.equal(duration(-5), "00:00");
  assert.equal(duration(3_599_999), "59:59");
  assert.equal(duration(5 * 3_600_000 + 8 * 60_000), "5 时 08 分");
  assert.equal(duration(26 * 3_600_000), "1 天 2 时");
});

test("a person's sex and age, and what is not known of them", () => {
  assert.equal(sexAndAge({ sex: "F", age: { value: 74, unit: "year" } }), "女 74岁");
  assert.equal(sexAndAge({ sex: null, age: { value: 5, unit: "month" } }), "5月");
  assert.equal(sexAndAge({ sex: "M", age: null }), "男");
  assert.equal(age(null), "");
});

test("sizes count in thousands", () => {
  assert.equal(bytes(999), "999\u00a0B");
  assert.equal(bytes(1000), "1.0\u00a0kB");
  assert.equal(bytes(18_000_000), "18.0\u00a0MB");
  assert.equal(bytes(999_950), "1.0\u00a0MB");
  assert.equal(bytes(123_456_789), "123\u00a0MB");
});

test("modalities and body parts have words, unknown codes stand as themselves", () => {
  assert.deepEqual(["DX", "CR", "CT", "ECG", "XA"].map(modality), ["DR", "DR", "CT", "心电", "XA"]);
  assert.equal(exam({ description: "", body_part: "CHEST", modality: "DX" }), "胸部");
  assert.equal(exam({ description: "胸部正位", body_part: "CHEST", modality: "DX" }), "胸部正位");
  assert.equal(exam({ description: "", body_part: "", modality: "ECG" }), "心电");
  assert.equal(exam({ description: "", body_part: "EYE", modality: "DX" }), "EYE");
});
