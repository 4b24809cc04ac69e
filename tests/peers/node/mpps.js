// Modality Performed Procedure Step by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each answer.
//   node mpps.js run {port, from, to, messages: [{kind: create | set | get, uid, dataset, attributes}]}
//   node mpps.js hear {port}   N-EVENT-REPORTs of the notification class
const { Client, Dataset, Scp, Server, requests, responses, constants } = require('dcmjs-dimse');

const CLASS = constants.SopClass.ModalityPerformedProcedureStep;
const RETRIEVE = '1.2.840.10008.3.1.2.3.4';
const NOTIFICATION = '1.2.840.10008.3.1.2.3.5';
const [, , mode, given] = process.argv;
const options = JSON.parse(given);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

require('dcmjs-dimse').log.setLevel('silent');

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
  for (const name of ['associationRejected', 'networkError', 'closed']) client.on(name, (error) => say({ [name]: String(error || true) }));
  client.send('127.0.0.1', options.port, options.from, options.to);
}

class Peer extends Scp {
  associationRequested(association) {
    for (const { context } of association.getPresentationContexts()) {
      const wanted = context.getAbstractSyntaxUid() === NOTIFICATION;
      if (wanted) context.setResult(constants.PresentationContextResult.Accept, '1.2.840.10008.1.2');
      else context.setResult(constants.PresentationContextResult.RejectAbstractSyntaxNotSupported);
    }
    this.sendAssociationAccept();
  }

  nEventReportRequest(request, callback) {
    say({
      event: request.getEventTypeId(), uid: request.getAffectedSopInstanceUid(),
      sopClass: request.getAffectedSopClassUid(), hasInformation: request.hasDataset(),
    });
    const response = responses.NEventReportResponse.fromRequest(request);
    response.setStatus(0);
    callback(response);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

if (mode === 'run') {
  run();
} else {
  new Server(Peer).listen(options.port);
  setTimeout(() => say({ listening: true }), 100);
}
