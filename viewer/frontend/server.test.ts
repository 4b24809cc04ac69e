import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { ApiError, Server } from "./server.ts";

let answer: (request: IncomingMessage, response: ServerResponse) => void;
let root = "";
let token = "old";
const seen: IncomingMessage[] = [];
const peer = createServer((request, response) => {
  seen.push(request);
  answer(request, response);
});

before(async () => {
  Object.assign(globalThis, { document: { documentElement: { lang: "zh" }, querySelector: () => ({ content: token }) } });
  await new Promise<void>((resolve) => peer.listen(0, "127.0.0.1", resolve));
  root = `http://127.0.0.1:${(peer.address() as AddressInfo).port}`;
});
after(() => peer.close());
beforeEach(() => {
  seen.length = 0;
  token = "old";
});

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

test("a refusal carries its code and details", async () => {
  answer = (_, response) => json(response, 409, { error: { code: "already_claimed", message: "已被领取", details: { by: "沈若川" } } });
  const refused = await new Server().post(`${root}/claim`).catch((error: unknown) => error);
  assert.ok(refused instanceof ApiError);
  assert.deepEqual([refused.status, refused.code, refused.details["by"]], [409, "already_claimed", "沈若川"]);
});

test("an answer that is no JSON is still an error with a code, and no answer is `network`", async () => {
  answer = (_, response) => response.writeHead(502).end("<html>");
  await assert.rejects(new Server().get(`${root}/x`), { code: "http_502" });
  await assert.rejects(new Server().get("http://127.0.0.1:1/x"), { code: "network" });
});

test("changes carry the CSRF token, reads do not", async () => {
  answer = (_, response) => json(response, 200, {});
  const server = new Server();
  await server.get(`${root}/a`);
  await server.put(`${root}/b`, { text: "x" });
  assert.deepEqual(seen.map((request) => request.headers["x-csrf-token"]), [undefined, "old"]);
});

test("an ended session is renewed once for all, then each request is sent again once", async () => {
  let valid = false;
  let renewals = 0;
  answer = (_, response) => (valid ? json(response, 200, { ok: true }) : json(response, 401, { error: { code: "session_expired" } }));
  const server = new Server();
  server.onSessionExpired = async () => {
    renewals++;
    await new Promise((resolve) => setTimeout(resolve, 20));
    valid = true;
    token = "new";
  };
  const both = await Promise.all([server.post(`${root}/a`), server.post(`${root}/b`)]);
  assert.deepEqual(both, [{ ok: true }, { ok: true }]);
  assert.equal(renewals, 1);
  assert.deepEqual(seen.slice(2).map((request) => request.headers["x-csrf-token"]), ["new", "new"]);
});

test("a session that stays ended is not asked for without end, and other refusals not at all", async () => {
  let renewals = 0;
  const server = new Server();
  server.onSessionExpired = async () => void renewals++;
  answer = (_, response) => json(response, 401, { error: { code: "session_expired" } });
  await assert.rejects(server.get(`${root}/a`), { code: "session_expired" });
  assert.equal(renewals, 1);
  answer = (_, response) => json(response, 401, { error: { code: "wrong_password" } });
  await assert.rejects(server.get(`${root}/a`), { code: "wrong_password" });
  assert.equal(renewals, 1);
});

test("a range asks from its start; a server that sends the whole is understood", async () => {
  const whole = Buffer.from("0123456789");
  const chunks: [number, string][] = [];
  const onChunk = (chunk: Uint8Array, offset: number): unknown => chunks.push([offset, Buffer.from(chunk).toString()]);
  answer = (_, response) => response.writeHead(206).end(whole.subarray(4, 8));
  await new Server().bytes(`${root}/f`, { start: 4, end: 8, onChunk });
  assert.equal(seen[0]?.headers.range, "bytes=4-7");
  answer = (_, response) => response.writeHead(200).end(whole);
  await new Server().bytes(`${root}/f`, { start: 4, onChunk });
  assert.equal(seen[1]?.headers.range, "bytes=4-");
  assert.deepEqual(chunks, [[4, "4567"], [0, "0123456789"]]);
});
