// Modality Performed Procedure Step by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each answer.
//   node mpps.js run {port, from, to, messages: [{kind: create | set | get, uid, dataset, attributes}]}
const { Client, Dataset, requests, constants } = require('dcmjs-dimse');

const CLASS = constants.SopClass.ModalityPerformedProcedureStep;
const RETRIEVE = '1.2.840.10008.3.1.2.3.4';
const [, , , given] = process.argv;
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
