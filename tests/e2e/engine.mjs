// An engine elsewhere for tests: it speaks as OpenAI's endpoint does, answers what it is told to, and keeps what it was sent.
// Its real twin is in sync-server/tests/integration/real_engines.rs.

import { createServer } from 'node:http';

/** A running engine. */
export class Engine {
  /** Everything that was sent, as text. */
  sent = [];

  static async start(answer) {
    const engine = new Engine();
    engine.server = createServer(async (request, response) => {
      let body = '';
      for await (const piece of request) body += piece;
      if (request.method === 'GET') {
        response.setHeader('content-type', 'application/json');
        return response.end(JSON.stringify({ data: [{ id: 'big-1', max_model_len: 8192 }] }));
      }
      engine.sent.push(body);
      response.setHeader('content-type', 'text/event-stream');
      const event = (choice) => response.write(`data: ${JSON.stringify({ choices: [choice] })}\n\n`);
      // In small pieces, so that placeholders are cut.
      for (const piece of answer.match(/.{1,5}/gs)) event({ delta: { content: piece } });
      event({ delta: {}, finish_reason: 'stop' });
      response.end('data: [DONE]\n\n');
    });
    await new Promise((ready) => engine.server.listen(0, '127.0.0.1', ready));
    engine.url = `http://127.0.0.1:${engine.server.address().port}/v1`;
    return engine;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
