// Storage commitment by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each thing that happens.
//   node commitment.js ask  {port, from, to, transaction, references: [[class, instance]], lingerMs}
//   node commitment.js hear {port, title, status, answerPort, from, to, failed: [instance]}
const { Client, Dataset, requests, responses, constants } = require('dcmjs-dimse');
const { Taker, listen, mode, options, respond, say, send } = require('./script.js');

const CLASS = constants.SopClass.StorageCommitmentPushModel;
const INSTANCE = '1.2.840.10008.1.20.1.1';

function heard(request, callback, status) {
  const elements = request.getDataset().getElements();
  say({ event: request.getEventTypeId(), transaction: elements.TransactionUID, information: elements });
  respond(responses.NEventReportResponse, request, callback, status);
}

function ask() {
  const request = new requests.NActionRequest(CLASS, INSTANCE, 1);
  request.setDataset(new Dataset({
    TransactionUID: options.transaction,
    ReferencedSOPSequence: options.references.map(([sopClass, instance]) => ({
      ReferencedSOPClassUID: sopClass, ReferencedSOPInstanceUID: instance,
    })),
  }));
  request.on('response', (response) => say({ action: response.getStatus() }));
  const client = new Client();
  client.addRequest(request);
  client.on('nEventReportRequest', (event, callback) => heard(event, callback, 0));
  send(client, { associationLingerTimeout: options.lingerMs });
}

function answer(elements) {
  const all = [elements.ReferencedSOPSequence].flat();
  const failed = all.filter((one) => (options.failed || []).includes(one.ReferencedSOPInstanceUID));
  const event = new requests.NEventReportRequest(CLASS, INSTANCE, failed.length ? 2 : 1);
  const information = { TransactionUID: elements.TransactionUID };
  information.ReferencedSOPSequence = all.filter((one) => !failed.includes(one));
  if (failed.length) information.FailedSOPSequence = failed.map((one) => ({ ...one, FailureReason: 0x0112 }));
  event.setDataset(new Dataset(information));
  event.on('response', (response) => say({ told: response.getStatus() }));
  const client = new Client();
  client.addRequest(event);
  client.on('networkError', () => say({ networkError: true }));
  client.send('127.0.0.1', options.answerPort, options.from, options.to);
}

class Peer extends Taker {
  static sopClass = CLASS;

  nEventReportRequest(request, callback) {
    heard(request, callback, options.status || 0);
  }

  nActionRequest(request, callback) {
    const elements = request.getDataset().getElements();
    say({ asked: elements.TransactionUID, number: [elements.ReferencedSOPSequence].flat().length });
    respond(responses.NActionResponse, request, callback, options.status || 0);
    if (options.answerPort) setTimeout(() => answer(elements), 200);
  }
}

if (mode === 'ask') {
  ask();
} else {
  listen(Peer);
}
