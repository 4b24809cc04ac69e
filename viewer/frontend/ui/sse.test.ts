import assert from "node:assert/strict";
import test from "node:test";
import { EventParser, type StreamEvent } from "./sse.ts";

const STREAM = 'retry: 1000\nid: 7\nevent: hello\ndata: {}\n\n: \nid: 9\n\nid: 10\nevent: study\ndata: {"name":"郑立群"}\n\n';
const EXPECTED: StreamEvent[] = [
  { kind: "hello", data: "{}", id: "7" },
  { kind: "study", data: '{"name":"郑立群"}', id: "10" },
];

test("the same events however the bytes are cut, also inside a character", () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (const size of [1, 2, 3, 5, 17, bytes.length]) {
    const parser = new EventParser();
    const events: StreamEvent[] = [];
    for (let at = 0; at < bytes.length; at += size) events.push(...parser.push(bytes.subarray(at, at + size)));
    assert.deepEqual(events, EXPECTED, `cut by ${size}`);
  }
});

test("an id without data moves the last id and says nothing", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push(new TextEncoder().encode(": \nid: 42\n\n")), []);
  assert.equal(parser.lastId, "42");
});

test("an event that never ended is not told", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push(new TextEncoder().encode("event: study\ndata: {}\n")), []);
  assert.deepEqual(parser.push(new TextEncoder().encode("\n")), [{ kind: "study", data: "{}", id: "" }]);
});

test("line ends of all three kinds, and data over several lines", () => {
  const parser = new EventParser();
  const events = parser.push(new TextEncoder().encode("data: a\r\ndata:b\r\n\r\ndata: c\n\n"));
  assert.deepEqual(events.map((event) => event.data), ["a\nb", "c"]);
});
