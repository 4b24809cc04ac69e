// Modality Performed Procedure Step by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each answer.
//   node mpps.js run {port, from, to, messages: [{kind: create | set | get, uid, dataset, attributes}]}
//   node mpps.js hear {port}   N-EVENT-REPORTs of the notification class
const { Client, Dataset, requests, responses, constants } = require('dcmjs-dimse');
const { Taker, listen, mode, options, respond, say, send } = require('./script.js');

const CLASS = constants.SopClass.ModalityPerformedProcedureStep;
const RETRIEVE = '1.2.840.10008.3.1.2.3.4';
const NOTIFICATION = '1.2.840.10008.3.1.2.3.5';

function made({ kind, uid, dataset, attributes }) {
  if (kind === 'get') return new requests.NGetRequest(RETRIEVE, uid, attributes || []);
  const Request = kind === 'create' ? requests.NCreateRequest : requests.NSetRequest;
  const request = new Request(CLASS, uid);
  request.setDataset(new Dataset(dataset));
  return request;
}

function run() {
  const client = new Client();
  for (const message of options.messages) {
    const request = made(message);
    request.on('response', (response) => {
      const command = response.getCommandDataset().getElements();
      const found = response.getDataset();
      say({
        answer: message.kind, status: response.getStatus(), comment: command.ErrorComment || '', id: command.ErrorID || 0,
        uid: command.AffectedSOPInstanceUID || '', dataset: found ? found.getElements() : null,
      });
    });
    client.addRequest(request);
  }
  send(client);
}

class Peer extends Taker {
  static sopClass = NOTIFICATION;

  nEventReportRequest(request, callback) {
    say({
      event: request.getEventTypeId(), uid: request.getAffectedSopInstanceUid(),
      sopClass: request.getAffectedSopClassUid(), hasInformation: request.hasDataset(),
    });
    respond(responses.NEventReportResponse, request, callback, 0);
  }
}

if (mode === 'run') {
  run();
} else {
  listen(Peer);
}
