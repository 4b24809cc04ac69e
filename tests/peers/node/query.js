// A C-FIND or C-GET by dcmjs-dimse, cancelled on its way; driven by tests/peers/dcmjs.py. One JSON line for each response.
//   node query.js run {port, from, to, kind: find | get, keys, cancel_after}
const { Client, requests, responses, constants } = require('dcmjs-dimse');

const [, , , given] = process.argv;
const options = JSON.parse(given);
const say = (line) => process.stdout.write(`${JSON.stringify({ ...line, at_ms: Math.round(performance.now()) })}\n`);

require('dcmjs-dimse').log.setLevel('silent');

const client = new Client();
const request = options.kind === 'get'
  ? requests.CGetRequest.createStudyGetRequest(options.keys.StudyInstanceUID)
  : requests.CFindRequest.createStudyFindRequest(options.keys);
let pending = 0;
let stored = 0;
request.on('response', (response) => {
  const counts = options.kind === 'get' ? { completed: response.getCompleted(), remaining: response.getRemaining() } : {};
  say({ status: response.getStatus(), ...counts });
  pending += 1;
  if (pending === options.cancel_after) {
    client.cancel(request);
    say({ cancelled: true });
  }
});
client.on('cStoreRequest', (object, callback) => {
  const response = responses.CStoreResponse.fromRequest(object);
  response.setStatus(constants.Status.Success);
  callback(response);
  stored += 1;
  say({ stored });
});
client.addRequest(request);
for (const name of ['associationRejected', 'networkError', 'closed']) client.on(name, (error) => say({ [name]: String(error || true) }));
client.send('127.0.0.1', options.port, options.from, options.to);
