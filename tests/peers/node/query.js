// A C-FIND or C-GET by dcmjs-dimse, cancelled on its way; driven by tests/peers/dcmjs.py. One JSON line for each response.
//   node query.js run {port, from, to, kind: find | get, keys, cancel_after}
const { Client, requests, responses, constants } = require('dcmjs-dimse');
const { options, respond, say, send } = require('./script.js');

const at = (line) => say({ ...line, at_ms: Math.round(performance.now()) });
const client = new Client();
const request = options.kind === 'get'
  ? requests.CGetRequest.createStudyGetRequest(options.keys.StudyInstanceUID)
  : requests.CFindRequest.createStudyFindRequest(options.keys);
let pending = 0;
let stored = 0;
request.on('response', (response) => {
  const counts = options.kind === 'get' ? { completed: response.getCompleted(), remaining: response.getRemaining() } : {};
  at({ status: response.getStatus(), ...counts });
  pending += 1;
  if (pending === options.cancel_after) {
    client.cancel(request);
    at({ cancelled: true });
  }
});
client.on('cStoreRequest', (object, callback) => {
  respond(responses.CStoreResponse, object, callback, constants.Status.Success);
  stored += 1;
  say({ stored });
});
client.addRequest(request);
send(client);
