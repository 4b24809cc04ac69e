// Unified procedure steps by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each thing that happens.
//   node ups.js ask  {port, from, to, requests: [{op, uid, action, context, attributes}]}   in order, one association
//   node ups.js hear {port, status, refuse}                                                  N-EVENT-REPORTs
//     refuse: what the first associations meet, in order: association, context, abort
const { Client, Dataset, Scp, Server, requests, responses, constants } = require('dcmjs-dimse');

const PUSH = '1.2.840.10008.5.1.4.34.6.1';
const EVENT = '1.2.840.10008.5.1.4.34.6.4';
const [, , mode, given] = process.argv;
const options = JSON.parse(given);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

require('dcmjs-dimse').log.setLevel('silent');

function made({ op, uid, action, context, attributes }) {
  switch (op) {
    case 'create':
      return new requests.NCreateRequest(PUSH, uid, context || PUSH);
    case 'get':
      return new requests.NGetRequest(PUSH, uid, attributes || [], context || PUSH);
    case 'set':
      return new requests.NSetRequest(PUSH, uid, context || PUSH);
    default:
      return new requests.NActionRequest(PUSH, uid, action, context || PUSH);
  }
}

function ask() {
  const client = new Client();
  for (const one of options.requests) {
    const request = made(one);
    if (one.op !== 'get') request.setDataset(new Dataset(one.attributes || {}));
    request.on('response', (response) => {
      const dataset = response.hasDataset() ? response.getDataset().getElements() : null;
      say({ op: one.op, status: response.getStatus(), comment: response.getErrorComment(), dataset });
    });
    client.addRequest(request);
  }
  for (const name of ['associationRejected', 'networkError', 'closed']) client.on(name, () => say({ [name]: true }));
  client.send('127.0.0.1', options.port, options.from, options.to);
}

const refuse = [...(options.refuse || [])];

class Peer extends Scp {
  associationRequested(association) {
    this.way = refuse.shift();
    if (this.way) say({ refused: this.way });
    if (this.way === 'association') {
      const { RejectResult, RejectSource, RejectReason } = constants;
      this.sendAssociationReject(RejectResult.Permanent, RejectSource.ServiceUser, RejectReason.CalledAeNotRecognized);
      return;
    }
    for (const { context } of association.getPresentationContexts()) {
      const wanted = this.way !== 'context' && context.getAbstractSyntaxUid() === EVENT;
      if (wanted) context.setResult(constants.PresentationContextResult.Accept, '1.2.840.10008.1.2');
      else context.setResult(constants.PresentationContextResult.RejectAbstractSyntaxNotSupported);
    }
    this.sendAssociationAccept();
  }

  nEventReportRequest(request, callback) {
    if (this.way === 'abort') {
      this.sendAbort(constants.AbortSource.ServiceUser, constants.AbortReason.NotSpecified);
      return;
    }
    say({
      event: request.getEventTypeId(), uid: request.getAffectedSopInstanceUid(),
      sopClass: request.getAffectedSopClassUid(), information: request.getDataset().getElements(),
    });
    const response = responses.NEventReportResponse.fromRequest(request);
    response.setStatus(options.status || 0);
    callback(response);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

if (mode === 'ask') {
  ask();
} else {
  new Server(Peer).listen(options.port);
  setTimeout(() => say({ listening: true }), 100);
}
