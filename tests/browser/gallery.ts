/** Fills the pages of gallery.py with invented people, through the product's own building blocks. */
import { setServerNow } from "../../viewer/frontend/ui/clock.ts";
import { countdown } from "../../viewer/frontend/ui/countdown.ts";
import { deliveryTrack, type DeliveryState } from "../../viewer/frontend/ui/deliverytrack.ts";
import { exam, modality, sexAndAge, time } from "../../viewer/frontend/ui/format.ts";
import { byId, type Child, fill, h, icon } from "../../viewer/frontend/ui/h.ts";
import { LANES, type Lane, me, type Status, type WorklistItem } from "../../viewer/frontend/ui/item.ts";
import { laneChip, laneHead, row } from "../../viewer/frontend/ui/row.ts";
import { stepTrack, trackOf } from "../../viewer/frontend/ui/steptrack.ts";
import { toast } from "../../viewer/frontend/ui/toast.ts";
import { openDialog, field } from "../../viewer/frontend/ui/dialog.ts";
import { t } from "../../viewer/frontend/i18n.ts";

const NOW = Date.parse("2026-11-18T06:32:08Z");
const MINUTE = 60_000;
setServerNow(new Date(NOW).toISOString());

type Sample = [lane: Lane, minutesLeft: number, total: number, type: string, name: string, sex: string, age: number, what: string, complaint: string, site: string, images: number, priors: number, state: string];
const SAMPLES: Sample[] = [
  ["critical", 4.87, 10, "ECG", "马国强", "M", 67, "十二导联心电图", "胸痛 2 小时，大汗", "青山镇卫生院", 1, 1, "沈若川"],
  ["stroke", 31.3, 45, "CT", "孙桂兰", "F", 74, "头颅平扫", "右侧肢体无力 50 分钟，言语不清", "青山镇卫生院", 28, 1, "me"],
  ["stroke", 39.1, 45, "CT", "彭永福", "M", 69, "头颅平扫", "口角歪斜 2 小时", "双河镇卫生院", 186, 0, "receiving"],
  ["chest_pain", 6.7, 10, "ECG", "赵春梅", "F", 59, "十二导联心电图", "胸闷 3 小时，复查", "龙泉镇卫生院", 1, 2, ""],
  ["emergency", -3.2, 30, "DR", "何福生", "M", 45, "右踝关节正侧位", "扭伤 3 小时，不能负重", "和平乡卫生院", 2, 0, "林书恒"],
  ["emergency", 6.2, 30, "DR", "段小军", "M", 28, "胸部正位", "突发胸痛 呼吸困难，无外伤", "石桥乡卫生院", 1, 0, "me"],
  ["emergency", 22.6, 30, "DR", "阎秀云", "F", 83, "骨盆正位", "跌倒 1 小时", "柳林镇卫生院", 1, 2, ""],
  ["emergency", 41, 60, "CT", "邓广林", "M", 51, "上腹部平扫", "持续上腹痛 6 小时", "青山镇卫生院", 214, 0, ""],
  ["emergency", 52.3, 60, "CT", "吕志刚", "M", 39, "胸部平扫", "车祸，左侧胸痛", "双河镇卫生院", 301, 0, "me"],
  ["routine", 38.7, 120, "DR", "韩秀芝", "F", 58, "胸部正位", "痰中带血 2 周，消瘦", "青山镇卫生院", 1, 2, "me"],
  ["routine", 52.1, 120, "DR", "常玉莲", "F", 66, "腰椎正侧位", "腰痛 3 月 加重 1 周", "白水镇卫生院", 2, 1, ""],
  ["routine", 57.8, 120, "DR", "白晓东", "M", 34, "胸部正位", "入职体检", "和平乡卫生院", 1, 0, ""],
  ["routine", 72, 120, "DR", "万淑珍", "F", 71, "双膝正侧位", "双膝痛 5 年", "柳林镇卫生院", 4, 0, ""],
  ["routine", 80, 120, "DR", "崔可欣", "F", 6, "左前臂正侧位", "摔伤 石膏固定后复查", "青山镇卫生院", 2, 2, ""],
  ["routine", 107, 240, "CT", "郑立群", "M", 63, "胸部增强", "左上肺结节 复查，3 月前 DR", "青山镇卫生院", 300, 3, "me"],
  ["routine", 125, 240, "CT", "尤建平", "M", 57, "鼻窦平扫", "鼻塞 流脓涕 2 月", "白水镇卫生院", 96, 0, ""],
  ["routine", 151, 240, "CT", "贺兰英", "F", 49, "胸部平扫", "咳嗽 1 月 无发热", "龙泉镇卫生院", 288, 1, ""],
  ["routine", 182, 240, "CT", "江守义", "M", 76, "腰椎平扫", "双下肢麻木", "石桥乡卫生院", 168, 0, ""],
];

function item(sample: Sample, index: number): WorklistItem {
  const [lane, minutesLeft, total, type, name, sex, years, what, complaint, site, images, priors, state] = sample;
  const due = NOW + minutesLeft * MINUTE;
  const isReceiving = state === "receiving";
  const holder = state && state !== "me" && !isReceiving ? state : null;
  const status: Status = isReceiving ? "receiving" : holder ? "reading" : "waiting";
  const patient = { name, name_pinyin: "", name_is_doubtful: false, patient_id: "QS-0042817", sex: sex as "M", birth_date: "1968-03-22", age: { value: years, unit: "year" as const } };
  return {
    workitem_uid: `1.2.${index}`, kind: type === "ECG" ? "ecg" : "image", step: "interpretation", state: "SCHEDULED", status,
    report_uid: null, priority: "routine", lane, due_at: new Date(due).toISOString(), input_readiness: isReceiving ? "INCOMPLETE" : "READY",
    n_instances: images, study_instance_uid: "1", modality: type, body_part: "", description: what, accession_number: "QS26111800291", patient,
    originating_site: { code: "X", name: site, name_en: site }, assigned_to: state === "me" ? "陈知远" : null, assigned_to_id: state === "me" ? 7 : null,
    claimed_by: holder, claimed_by_id: holder ? 9 : null, claimed_at: null, excluded_id: null, received_at: new Date(due - total * MINUTE).toISOString(),
    acquired_at: null, ready_at: null, ended_at: null, late_images_at: null, n_conflicts: 0, rejections: [], n_priors: priors,
    order: { order_uid: "1", accession_number: "QS26111800291", modality: type, body_part: "", complaint, question: "除外脑出血", priority: "routine", lane, requesting_doctor: "王晓岚", made_from_object: index === 12, created_at: new Date(due).toISOString(), patient } as never,
  };
}
const ITEMS = SAMPLES.map(item);
const chosen = ITEMS[1] as WorklistItem;

function worklist(): void {
  const list = byId("list");
  for (const lane of LANES) {
    const own = ITEMS.filter((one) => one.lane === lane);
    list.append(laneHead(lane, own.length), ...own.map((one) => row(one, me())));
  }
  list.querySelector('[data-uid="1.2.1"]')?.setAttribute("aria-selected", "true");
  byId("list-state").replaceChildren();
  byId<HTMLButtonElement>("next-button").disabled = false;
  fill(byId("next-what"), laneChip("stroke"), h("b", {}, chosen.patient.name), sexAndAge(chosen.patient), h("span", { class: "nowrap" }, `CT ${exam(chosen)}`), h("span", {}, "青山镇卫生院"));
  fill(byId("next-left"), countdown(chosen, "bare"), h("span", { class: "caption" }, t("ui.worklist.next.count", { n: 18 })));
  for (const lane of ["all", ...LANES]) {
    const button = document.querySelector(`[data-lane="${lane}"][aria-pressed]`);
    const count = button?.querySelector<HTMLElement>(".count");
    if (count) fill(count, lane === "all" ? ITEMS.length : ITEMS.filter((one) => one.lane === lane).length), (count.hidden = false);
  }
  document.querySelector('[data-lane="all"]')?.setAttribute("aria-pressed", "true");
  fill(byId("shown"), t("ui.worklist.shown", { n: 51, shown: "1–18" }));
  fill(byId("clock"), "14:32:08");
  live();
  preview();
}

function live(): void {
  const place = document.getElementById("stream-state");
  place?.classList.add("on");
  place?.querySelector("span")?.replaceChildren(t("ui.stream.live"));
}

function picture(src: string, label = ""): HTMLElement {
  return h("div", { class: "thumb" }, h("img", { src, alt: "" }), label && h("span", { class: "label" }, label));
}

function preview(): void {
  const section = (head: string, ...children: Child[]): HTMLElement => h("section", {}, h("h3", {}, h("span", {}, head)), ...children);
  fill(byId("preview-body"),
    h("header", {}, h("div", { class: "line" }, h("b", {}, chosen.patient.name), sexAndAge(chosen.patient), laneChip("stroke"), countdown(chosen, "bare")),
      h("p", { class: "tx2" }, "CT 头颅平扫 · 青山镇卫生院 · 检查号 QS26111800327")),
    h("div", { class: "thumbs" }, picture("ct.jpg", "12/28"), picture("ct.jpg", "16/28"), picture("ct.jpg", "20/28")),
    section(t("ui.worklist.preview.order"), h("p", { class: "request" }, h("mark", { class: "teal" }, "右侧肢体无力"), "伴", h("mark", { class: "teal" }, "言语不清 50 分钟"), "，清晨起床正常。既往高血压 10 年，", h("s", {}, "否认"), "外伤、抗凝药。"), h("p", { class: "tx2" }, "目的：除外脑出血 · 申请医师 王晓岚")),
    section(t("ui.worklist.preview.why"), h("ol", {}, h("li", {}, "卒中通道，主诉命中 2 项"), h("li", {}, "到期 15:03，同通道中最早"), h("li", {}, "影像已齐（28/28）"), h("li", {}, "派给我"))),
    section(t("ui.worklist.preview.priors"), h("p", {}, h("span", { class: "type" }, "CT"), " 头颅平扫 2025-03-09")));
  byId("preview-actions").hidden = false;
}

const FINDINGS = "胸廓对称，气管居中。双肺野内见多发大小不等类圆形结节及团块影，以中下肺野为著，边缘较清；最大者位于左肺下野，长径约 44.5 mm（探测器平面）。与 2024-11-06 胸片对比，上述病灶均为新发。双侧肺门影不大，纵隔未见增宽。";

function read(kind: string): void {
  const isCt = kind === "ct";
  const one = ITEMS[isCt ? 14 : 9] as WorklistItem;
  byId("read").dataset["kind"] = kind;
  fill(byId("patient-name"), one.patient.name);
  fill(byId("patient-age"), sexAndAge(one.patient));
  const facts: Record<string, string> = { birth: "1968-03-22", "patient-id": "QS-0042817", exam: `${modality(one.modality)} ${exam(one)}`, site: "青山镇卫生院", accession: one.accession_number };
  for (const [id, value] of Object.entries(facts)) fill(byId(`fact-${id}`).querySelector("dd") as Element, value);
  fill(byId("complaint-words"), "咳嗽、", h("mark", {}, "痰中带血 2 周"), "，消瘦 4 kg。");
  fill(byId("purpose-words"), h("span", { class: "tx3" }, t("ui.read.purpose")), " 排除占位 · 王晓岚");
  fill(byId("lane-chip"), laneChip("routine"));
  byId("countdown").append(countdown(one, "big"));
  fill(byId("my-place"), "派给我 3/6");
  fill(byId("lock-state"), h("span", { class: "pair green" }, icon("lock", 14), t("ui.read.claimed_by_me")));
  byId("following").hidden = false;
  fill(byId("following-what"), "常玉莲 DR 腰椎");
  const port = (isActive: boolean, when: string): HTMLElement => h("div", { class: `viewport${isActive ? " active" : ""}` },
    h("img", { src: isCt ? "ct.jpg" : "dr.jpg", class: "sample" }),
    h("div", { class: "corner tl" }, h("b", {}, one.patient.name), ` ${sexAndAge(one.patient)}`, h("div", {}, "QS-0042817"), h("div", {}, isCt ? "序列 3 · 层 52 / 100" : "胸部 正位 PA")),
    h("div", { class: "corner tr" }, "青山镇卫生院", h("div", {}, isCt ? "QS_CT" : "QS_DR"), h("div", {}, "2026-11-18 13:08")),
    h("div", { class: "corner bl" }, h("div", {}, isCt ? "W 1500 · L −600" : "W 22 480 · L 15 100"), h("div", {}, "缩放 0.38×"), h("div", {}, "间距 0.200 mm 探测器平面")),
    h("div", { class: "corner br" }, h("span", { class: isActive ? "quality lossless" : "quality partial" }, icon(isActive ? "disc" : "half", 14), isActive ? t("ui.quality.lossless") : t("ui.quality.partial", { detail: "1/4 分辨率 · 62 %" }))),
    h("div", { class: "corner tc" }, h("b", {}, isActive ? "本次" : "历史"), ` ${when}`),
    h("div", { class: "edge left" }, "右"), h("div", { class: "edge right" }, "左"));
  const ports = byId("viewports");
  ports.dataset["layout"] = isCt ? "2x2" : "1x2";
  ports.append(port(true, "2026-11-18 13:08"), port(false, "2024-11-06 2 年前"));
  if (isCt) ports.append(h("div", { class: "viewport" }, h("div", { class: "state" }, icon("alert", 24), h("b", {}, t("ui.read.frame_failed", { n: 34 })), h("p", {}, t("ui.read.frame_failed_note")), h("button", { class: "btn small" }, t("ui.read.frame_retry")))), port(false, ""));
  if (isCt) {
    byId("series").hidden = false;
    fill(byId("series"), h("h3", {}, "本次 11-18"), ...[1, 2, 3].map((n) => h("button", { class: "series-card", "aria-pressed": n === 1 ? "true" : "false" }, h("div", { class: "thumb" }, h("img", { src: "ct.jpg", alt: "" }), h("span", { class: "n" }, n + 2)), h("b", {}, n === 1 ? "LUNG 2.5 mm" : "动脉期 STD"), h("small", {}, "100 层 · 70 %"))));
  }
  const card = (name: string, note: string, isOn: boolean): HTMLElement => h("button", { class: "card", "aria-pressed": String(isOn) }, h("div", { class: "thumb" }, h("img", { src: isCt ? "ct.jpg" : "dr.jpg", alt: "" })), h("span", {}, h("b", {}, name), h("small", {}, note)));
  fill(byId("current-cards"), card("正位 PA", "1 幅", true));
  fill(byId("prior-cards"), card("2024-11-06", "DR 胸部", true), card("2022-09-14", "DR 胸部", false));
  document.querySelector(`#layouts [data-layout="${isCt ? "2x2" : "1x2"}"]`)?.setAttribute("aria-pressed", "true");
  document.querySelector('[data-tool="window"]')?.setAttribute("aria-pressed", "true");
  byId("template").append(h("option", {}, "DR 胸部 dr-chest"));
  byId<HTMLTextAreaElement>("findings").value = FINDINGS;
  byId<HTMLTextAreaElement>("impression").value = "1. 双肺多发结节及团块影，较 2024-11-06 新发，转移瘤可能性大，建议胸部 CT 增强并查找原发灶。\n2. 心、膈未见明显异常。";
  const check = (tone: string, words: string): HTMLElement => h("li", { class: tone || null }, icon(tone ? "alert" : "check", 14), words);
  fill(byId("checks-summary"), h("span", { class: "amber" }, t("ui.report.checks_n", { n: 1 })));
  fill(byId("checks-list"), check("", t("ui.report.check.patient")), check("", t("ui.report.check.sections")), check("warn", t("ui.report.check.not_lossless", { n: 30 })));
  byId("prior-quote").hidden = false;
  fill(byId("prior-quote-head"), t("ui.report.prior_head", { date: "2024-11-06" }), " 林书恒");
  fill(byId("prior-quote-text"), "诊断意见：心、肺、膈未见明显异常。");
  fill(byId("signer-words"), t("ui.report.reporting"), " ", h("b", {}, "陈知远"));
  fill(byId("licence-words"), t("ui.report.licence", { date: "2028-06" }));
  fill(byId("saved-state"), t("ui.report.saved", { time: "14:41:26" }));
  fill(byId("sign-note"), t("ui.report.note_one"));
  const count = byId("n-priors");
  fill(count, 2);
  count.hidden = false;
  live();
  fill(byId("keys"), h("span", { class: "key" }, h("kbd", {}, "1"), "肺野"), h("span", { class: "key" }, h("kbd", {}, "2"), "纵隔"), h("span", { class: "key" }, h("kbd", {}, "Tab"), "图像 / 报告"));
}

function technician(): void {
  const card = (tone: string, chip: Child, title: string, note: string, words: string): HTMLElement => h("article", { class: `attention-card${tone}` }, picture("dr.jpg"),
    h("div", {}, h("div", { class: "pair" }, chip, h("span", { class: "caption" }, note)), h("div", {}, h("b", {}, title)), h("p", { class: "tx2" }, words), h("div", { class: "actions" }, h("button", { class: "btn primary small" }, t("ui.tech.suggestion_confirm")))));
  fill(byId("attention"), card("", h("span", { class: "chip amber" }, t("ui.tech.suggestion")), "冯玉珍 女 62岁 · 心电", "14:31", "申请单 QS26111800071 患者编号与类型一致，请核对后关联"),
    card(" alarm", h("span", { class: "chip red" }, t("ui.tech.no_order")), "罗建军 男 37岁 · DR 右胫腓骨", "14:22", "影像没有对应申请单"));
  const statuses: Status[] = ["receiving", "reading", "waiting", "waiting", "waiting", "to_verify", "returned_for_edit", "delivered", "opened", "acknowledged", "waiting", "waiting"];
  const rows = statuses.map((status, index) => {
    const one = { ...(ITEMS[index] as WorklistItem), status, claimed_by: status === "reading" ? "沈若川" : null, ended_at: ["delivered", "opened", "acknowledged"].includes(status) ? "2026-11-18T03:31:00Z" : null };
    return h("tr", {}, h("td", { class: "tx2" }, time(one.received_at)), h("td", {}, h("span", { class: "person" }, h("b", {}, one.patient.name), h("span", {}, sexAndAge(one.patient)))),
      h("td", {}, h("span", { class: "exam" }, h("span", { class: "type" }, modality(one.modality)), exam(one), one.lane !== "routine" && laneChip(one.lane))),
      h("td", {}, stepTrack(trackOf(one))), h("td", { class: "tx2" }, t("ui.images.n", { n: one.n_instances })), h("td", { class: "tx2" }, t("ui.tech.matched")), h("td", {}, one.ended_at ? h("a", { href: "#" }, t("ui.tech.open_report")) : "—"));
  });
  fill(byId("sent-rows"), ...rows);
  byId("sent-state").replaceChildren();
  const bar = h("i");
  bar.style.setProperty("--share", "0.62");
  fill(byId("uploads"), h("div", { class: "upload" }, h("div", { class: "line" }, "罗建军 · DR 右胫腓骨", h("b", {}, "62\u00a0%")), h("div", { class: "progress" }, bar), h("div", { class: "line caption" }, h("span", {}, "11.2 / 18.0 MB"), h("span", {}, t("ui.tech.upload.running")))));
  byId<HTMLTextAreaElement>("complaint").value = "胸闷、胸痛 2 小时，无放射痛，否认高血压";
  const hint = byId("triage-hint");
  hint.hidden = false;
  fill(hint.querySelector("span") as Element, t("ui.tech.hint", { words: "胸痛 2 小时", lane: t("ui.lane.chest_pain") }));
  document.querySelector('#priority [data-value="chest_pain"]')?.setAttribute("aria-pressed", "true");
  document.querySelector('#priority [data-value="routine"]')?.setAttribute("aria-pressed", "false");
  document.querySelector('#modality [data-value="ECG"]')?.setAttribute("aria-pressed", "true");
  byId("body-part").append(h("option", {}, "十二导联心电图"));
  live();
}

function report(): void {
  byId("report-state").hidden = true;
  byId("report-body").hidden = false;
  fill(byId("report-patient"), "郑立群");
  fill(byId("report-age"), "男 63岁");
  fill(byId("report-status"), h("span", { class: "chip green" }, icon("shield", 13), `${t("ui.report.status.final")} · ${t("ui.portal.signature_valid")}`));
  fill(byId("report-facts"), h("span", {}, "CT 胸部增强"), h("span", {}, "检查号 QS26111800244"), h("span", {}, "患者编号 QS-0031156"));
  fill(byId("report-impression"), "1. 左肺上叶实性分叶状结节，较前增大，周围型肺癌可能性大，邻近胸膜受累不除外；建议多学科会诊并行病理学检查。\n2. 纵隔、肺门未见明确肿大淋巴结。");
  fill(byId("report-findings"), "左肺上叶外侧胸膜下见一实性结节，大小约 24.0 mm × 20.1 mm，边缘分叶，与邻近胸膜宽基底相连，内部密度较均匀，未见钙化及空洞；较 2026-05-20（18.2 mm × 15.0 mm）增大。余肺野清晰，肺纹理走行自然。气管、支气管通畅。纵隔及双侧肺门未见明确肿大淋巴结。");
  const person = (head: string, ...value: Child[]): HTMLElement => h("div", {}, h("dt", {}, head), h("dd", {}, ...value));
  fill(byId("report-people"), person(t("ui.portal.fact.exam"), "11-18 12:05"), person(t("ui.report.reporting"), h("b", {}, "陈知远"), " 15:12"), person(t("ui.report.reviewing"), h("b", {}, "周敏仪"), " 15:38"), person(t("ui.portal.fact.delivered"), "15:40 DICOM · 门户"));
  const delivery = (channel: string, state: DeliveryState, end: string): HTMLElement => h("li", {}, h("span", {}, t(`ui.channel.${channel}`)), deliveryTrack(state), h("span", { class: "end caption" }, end));
  fill(byId("report-deliveries"), delivery("dicom", "ACCEPTED", "15:40:06"), delivery("portal", "OPENED", "15:42 王晓岚"));
  fill(byId("report-version"), "v1");
  byId("report-images").hidden = false;
  byId("signoff").hidden = false;
  fill(byId("main-picture"), h("img", { src: "ct.jpg", alt: "" }), h("div", { class: "corner tl" }, h("b", {}, "轴位 肺窗"), h("div", {}, "层 52 / 100")), h("div", { class: "corner br" }, h("span", { class: "quality lossless" }, icon("disc", 14), "无损")), h("div", { class: "edge left" }, "右"), h("div", { class: "edge right" }, "左"));
  fill(byId("key-pictures"), ...[1, 2, 3, 4].map((n) => h("button", { "aria-pressed": String(n === 1) }, h("div", { class: "thumb" }, h("img", { src: "ct.jpg", alt: "" })), n === 4 ? "全部 300 层" : `序列 ${n}`)));
  fill(byId("report-history"), h("li", {}, "2026-05-20 CT 胸部 · 县医院", h("a", { href: "#" }, t("ui.portal.open"))));
}

function portal(): void {
  report();
  const entry = (one: WorklistItem, isNew: boolean, end: Child, isCurrent = false): HTMLElement => h("button", { class: `report-item${isNew ? " new" : ""}`, "aria-current": isCurrent ? "true" : null },
    h("span", { class: "person" }, h("b", {}, one.patient.name), h("span", {}, sexAndAge(one.patient))), h("span", { class: "end" }, time(one.received_at)),
    h("span", { class: "exam" }, h("span", { class: "type" }, modality(one.modality)), exam(one)), h("span", { class: "end" }, end));
  const head = (group: string): HTMLElement => h("div", { class: "group-head" }, t(`ui.portal.group.${group}`));
  fill(byId("report-list"), head("new"), entry(ITEMS[14] as WorklistItem, true, t("ui.report.status.final"), true), entry(ITEMS[9] as WorklistItem, true, h("span", { class: "chip amber" }, t("ui.report.status.prelim"))), head("acknowledged"), ...[0, 3, 5].map((n) => entry(ITEMS[n] as WorklistItem, false, t("ui.status.acknowledged"))), head("in_progress"), entry(ITEMS[1] as WorklistItem, false, t("ui.status.reading")));
  live();
}

function admin(): void {
  const sites: [string, string, string, string][] = [["清河县人民医院", "COUNTY", "green", "正常"], ["青山镇卫生院", "QINGSHAN", "green", "正常"], ["白水镇卫生院", "BAISHUI", "amber", "1 通道重试"], ["和平乡卫生院", "HEPING", "red", "DR 离线 5 时"]];
  fill(byId("site-list"), ...sites.map(([name, code, tone, words], index) => h("button", { class: "site-item", "aria-current": index === 1 ? "true" : null }, h("i", { class: `dot ${tone}` }), h("span", {}, h("b", {}, name), h("span", { class: "mono tx2" }, code), h("small", {}, t("ui.admin.site_n", { devices: 3, users: 12 }))), h("span", { class: `end ${tone}` }, words))));
  fill(byId("site-name"), "青山镇卫生院");
  fill(byId("site-code"), "QINGSHAN");
  fill(byId("site-facts"), ...([["return", "DICOM PDF · 门户"], ["address", "QS_PACS@10.21.3.9:104"], ["charset", "ISO_IR 192"], ["signatures", "CT 2 · 其他 1"], ["users", "12"]] as const).map(([key, value]) => h("div", {}, h("dt", {}, t(`ui.admin.fact.${key}`)), h("dd", {}, value))));
  const devices = [["QS_DR", "DR", "数字化 X 线机", "10.21.3.11/32"], ["QS_CT", "CT", "16 排 CT", "10.21.3.12/32"], ["QS_ECG", "ECG", "十二道心电图机", "10.21.3.15/32"]] as const;
  fill(byId("device-rows"), ...devices.map(([ae, type, name, address]) => h("tr", {}, h("td", {}, h("b", { class: "mono" }, ae)), h("td", {}, h("span", { class: "type" }, modality(type))), h("td", {}, name), h("td", { class: "mono" }, address), h("td", {}, "存储 · 连通"), h("td", {}, "GB18030"), h("td", {}, "20\u00a0s"), h("td", {}, h("span", { class: "pair" }, h("i", { class: "dot green" }), "14:27")), h("td", { class: "actions" }, h("button", { class: "link" }, t("ui.admin.edit"))))));
  const states: DeliveryState[] = ["RETRY", "DEAD", "SENDING", "OPENED", "QUEUED", "ACCEPTED", "ACKED"];
  fill(byId("site-delivery-rows"), ...states.map((state) => h("tr", {}, h("td", { class: "tx2" }, "13:58"), h("td", {}, h("b", {}, "DR 胸部")), h("td", {}, h("span", { class: "chip outline" }, "v1")), h("td", {}, "DICOM PDF"), h("td", {}, deliveryTrack(state)), h("td", {}, "5"), h("td", {}, "15:21"), h("td", { class: "tx2 wraps" }, "连接被拒绝"), h("td", { class: "actions" }, h("button", { class: "link" }, t("ui.admin.resend"))))));
  for (const id of ["device-rows-state", "site-delivery-rows-state"]) byId(id).replaceChildren();
  fill(byId("system-health"), h("i", { class: "dot" }), t("ui.admin.health_ok"));
  fill(byId("n-sites"), 4);
}

function statistics(): void {
  const kpis = [["signed", "3 412", "份"], ["median", "48", "分"], ["in_time", "93.4", "%"], ["delivered", "99.1", "%"], ["acknowledged", "91.0", "%"], ["waiting", "51", "份"]] as const;
  fill(byId("kpis"), ...kpis.map(([key, value, unit], index) => h("button", { class: "kpi", "aria-pressed": String(index === 2) }, h("span", { class: "label" }, t(`ui.stat.kpi.${key}`)), h("span", { class: "figure" }, value, h("small", {}, unit)), h("div", { class: "note" }, "n = 3 412"))));
  const line = (name: string, ...values: string[]): HTMLElement => h("tr", {}, h("td", {}, name), ...values.map((value) => h("td", { class: "num" }, value)));
  fill(byId("lane-rows"), line("卒中 CT", "64", "26 分", "42 分", "93.8 %", "45 分"), line("急诊 DR", "387", "17 分", "28 分", "92.6 %", "30 分"));
  fill(byId("site-rows"), line("青山镇卫生院", "842", "44 分", "1:58", "94.2 %", "3"), line("白水镇卫生院", "610", "47 分", "2:04", "93.5 %", "1"));
  fill(byId("definition"), h("dt", {}, t("ui.stat.numerator")), h("dd", {}, t("ui.stat.def.numerator")), h("dt", {}, t("ui.stat.denominator")), h("dd", {}, t("ui.stat.def.denominator")));
}

function components(): void {
  const of = (minutesLeft: number, total: number, endedAfter?: number): HTMLElement => countdown({ due_at: new Date(NOW + minutesLeft * MINUTE).toISOString(), received_at: new Date(NOW + (minutesLeft - total) * MINUTE).toISOString(), ended_at: endedAfter ? new Date(NOW + (minutesLeft - total + endedAfter) * MINUTE).toISOString() : null });
  const line = (...children: Child[]): HTMLElement => h("div", { class: "line" }, ...children);
  const button = (words: string, classes: string, disabled = false, busy = false): HTMLElement => h("button", { class: `btn ${classes}`, disabled, "aria-busy": busy ? "true" : null }, words);
  const chip = (tone: string, name: string, words: string): HTMLElement => h("span", { class: `chip ${tone}` }, name && icon(name, 13), words);
  const seg = h("div", { class: "seg" }, ...["甲", "乙", "丙", "废"].map((grade, index) => h("button", { "aria-pressed": String(index === 0) }, grade)));
  const textField = (label: string, attributes: Record<string, string | boolean>, error = ""): HTMLElement => h("div", { class: "field" }, h("label", {}, label), h("input", { class: "input", ...attributes }), error && h("p", { class: "field-error" }, error));
  fill(byId("content"),
    h("h3", {}, "倒计时"), line(of(31.3, 45), of(6.2, 30), of(-3.2, 30), of(107, 240), of(1, 9, 7.7)),
    h("h3", {}, "标签"), line(...LANES.map(laneChip), chip("amber", "", "重要异常"), chip("green", "shield", "正式报告"), chip("accent", "", "已更正 v2"), chip("dashed red", "", "V4 ST +0.11 mV"), chip("dashed amber", "", "电极疑似接反"), chip("dashed", "", "机架倾角 18.5°")),
    h("h3", {}, "图像质量"), line(h("span", { class: "quality loading" }, icon("ring", 14), t("ui.quality.loading")), h("span", { class: "quality partial" }, icon("half", 14), t("ui.quality.partial", { detail: "1/4 分辨率" })), h("span", { class: "quality lossless" }, icon("disc", 14), t("ui.quality.lossless"))),
    h("h3", {}, "按钮"), line(button("签名并签发", "primary sign"), button("提交审核", "sign"), button("上报危急值", "danger sign"), button("立即升级", "danger-line sign"), button("取消", "plain sign")),
    line(button("主要", "primary"), button("次要", ""), button("不可用", "", true), button("小号", "small"), button("签名中", "", false, true), seg, h("kbd", {}, "Ctrl"), h("kbd", {}, "Enter")),
    h("h3", {}, "表单"), h("div", { class: "form narrowed" }, textField("姓名", { value: "田小芹" }), textField("身份证号", { value: "0000001957", "aria-invalid": "true" }, "位数不足，应为 18 位"), textField("检查号", { value: "QSE26111800071", readonly: true }), h("div", { class: "field" }, h("label", {}, "检查"), h("select", { class: "select" }, h("option", {}, "十二导联心电图")))),
    h("h3", {}, "横幅"), ...(["amber", "red", "", "green"] as const).map((tone) => h("div", { class: `banner ${tone} narrowed` }, icon(tone === "green" ? "check" : "alert"), h("b", {}, "请趁患者未离开重做"), h("p", {}, "左右手电极疑似接反"), h("button", { class: "btn primary small" }, "重新采集"))),
    h("h3", {}, "检查进度与投递"), line(...(["receiving", "reading", "to_verify", "opened", "acknowledged"] as Status[]).map((status) => stepTrack(trackOf({ ...chosen, status, claimed_by: "沈若川" })))),
    line(...(["QUEUED", "SENDING", "RETRY", "DEAD", "SUPERSEDED", "ACCEPTED", "OPENED", "ACKED"] as DeliveryState[]).map(deliveryTrack)),
    h("h3", {}, "空、错、载入"), h("div", { class: "states" }, h("div", { class: "panel state ok" }, icon("check", 24), h("b", {}, "没有待阅检查"), h("p", {}, "新检查到达时自动出现并提示")), h("div", { class: "panel state warning" }, icon("alert", 24), h("b", {}, "列表 40 秒未更新"), h("p", {}, "正在重连，现有内容可能过时"), h("button", { class: "link" }, "立即刷新")), h("div", { class: "panel skeleton" }, h("i"), h("i"), h("i"), h("i"))));
  toast({ kind: "success", title: "已签发 韩秀芝 DR 胸部", text: "已排队回传 2 条通道", action: { words: "查看", run: () => undefined } });
  toast({ kind: "info", title: "孙桂兰 已派给您", text: "卒中 剩 31:20", action: { words: "打开", key: "N", run: () => undefined } });
  toast({ kind: "error", title: "签名未完成", text: "签名服务无响应，报告未签发", action: { words: "重试", run: () => undefined } });
  if (innerWidth > 1500) {
    openDialog({ title: t("ui.report.sign_title"), icon: "pen", consequence: t("ui.report.sign_consequence"), body: [field(t("ui.report.pin"), h("input", { class: "input", type: "password", name: "pin", value: "123456" }))], note: t("ui.report.certificate", { serial: "3A7F 51C0", date: "2028-06" }), primary: { words: t("ui.report.sign"), key: "Enter", run: () => undefined } });
  }
}

const style = new CSSStyleSheet();
style.replaceSync(".gallery{padding:20px 32px}.gallery h3{margin:16px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--ln1);color:var(--tx2)}.gallery .line{display:flex;flex-wrap:wrap;gap:10px 22px;align-items:center;margin-bottom:8px}.narrowed{max-width:640px;margin-bottom:8px}.states{display:grid;grid-template-columns:repeat(3,280px);gap:16px}.viewport>.sample{position:absolute;inset:0;width:100%;height:100%;object-fit:contain}");
document.adoptedStyleSheets = [style];

const fills: Record<string, () => void> = { worklist, read_dr: () => read("dr"), read_ct: () => read("ct"), technician, report, portal, admin, statistics, components_dark: components, components_light: components };
fills[document.body.dataset["sample"] ?? ""]?.();
