import { Server as HttpServer } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import { connect, type Server } from 'node:net';

export interface Listening {
  port: number;
  /** Ends open connections too. */
  stop(): Promise<void>;
}

/** @param port default: one the system chooses */
export async function listen(server: Server, port = 0, host = '127.0.0.1'): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    port: address.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if (server instanceof HttpServer || server instanceof HttpsServer) server.closeAllConnections();
      }),
  };
}

/** Whether somebody else listens there. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
