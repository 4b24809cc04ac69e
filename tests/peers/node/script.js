// What the scripts beside share: their mode and options, the lines they say, an association asked for, one class taken.
const { Scp, Server, constants, log } = require('dcmjs-dimse');

log.setLevel('silent');

const [, , mode, given] = process.argv;
const options = JSON.parse(given);

/** One line for the test, as JSON. */
function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Sends what the client holds to whom the options name; how the association ends is said. */
function send(client, more) {
  for (const name of ['associationRejected', 'networkError', 'closed']) client.on(name, (error) => say({ [name]: String(error || true) }));
  client.send('127.0.0.1', options.port, options.from, options.to, more);
}

/** Takes one class, in implicit VR, and nothing else. */
class Taker extends Scp {
  static sopClass = '';

  takes(uid) {
    return uid === this.constructor.sopClass;
  }

  associationRequested(association) {
    for (const { context } of association.getPresentationContexts()) {
      if (this.takes(context.getAbstractSyntaxUid())) context.setResult(constants.PresentationContextResult.Accept, '1.2.840.10008.1.2');
      else context.setResult(constants.PresentationContextResult.RejectAbstractSyntaxNotSupported);
    }
    this.sendAssociationAccept();
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

/** Answers at the port of the options; says when. */
function listen(taker) {
  new Server(taker).listen(options.port);
  setTimeout(() => say({ listening: true }), 100);
}

/** The response to a request, with its status. */
function respond(Response, request, callback, status) {
  const response = Response.fromRequest(request);
  response.setStatus(status);
  callback(response);
}

module.exports = { Taker, listen, mode, options, respond, say, send };
