// Unified procedure steps by dcmjs-dimse, driven by tests/peers/dcmjs.py. One JSON line for each thing that happens.
//   node ups.js ask  {port, from, to, requests: [{op, uid, action, context, attributes}]}   in order, one association
//   node ups.js hear {port, status, refuse}                                                  N-EVENT-REPORTs
//     refuse: what the first associations meet, in order: association, context, abort
const { Client, Dataset, requests, responses, constants } = require('dcmjs-dimse');
const { Taker, listen, mode, options, respond, say, send } = require('./script.js');

const PUSH = '1.2.840.10008.5.1.4.34.6.1';
const EVENT = '1.2.840.10008.5.1.4.34.6.4';

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
  send(client);
}

const refuse = [...(options.refuse || [])];

class Peer extends Taker {
  static sopClass = EVENT;

  takes(uid) {
    return this.way !== 'context' && super.takes(uid);
  }

  associationRequested(association) {
    this.way = refuse.shift();
    if (this.way) say({ refused: this.way });
    if (this.way === 'association') {
      const { RejectResult, RejectSource, RejectReason } = constants;
      this.sendAssociationReject(RejectResult.Permanent, RejectSource.ServiceUser, RejectReason.CalledAeNotRecognized);
      return;
    }
    super.associationRequested(association);
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
    respond(responses.NEventReportResponse, request, callback, options.status || 0);
  }
}

if (mode === 'ask') {
  ask();
} else {
  listen(Peer);
}
