/** Bytes to another loopback address and the same port, until it is told to pass them no more. */
import { connect, createServer, type Socket } from 'node:net';
import { listen, type Listening } from './listen.ts';

export interface TcpRelay {
  /** Connections so far. */
  accepted(): number;
  /** `pass` as it is; `reset`: RST for each at once; `silence`: accepted, and nothing comes. For those that come from now on. */
  treat(connections: 'pass' | 'reset' | 'silence'): void;
  /** From now on connections are refused. */
  close(): Promise<void>;
  /** Ends that. */
  open(): Promise<void>;
  stop(): Promise<void>;
}

export async function startTcpRelay(options: { address: string; port: number; target: string }): Promise<TcpRelay> {
  const { address, port, target } = options;
  const sockets = new Set<Socket>();
  let treatment: 'pass' | 'reset' | 'silence' = 'pass';
  let accepted = 0;
  let listening: Listening | undefined;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const relay = (client: Socket) => {
    accepted += 1;
    keep(client);
    if (treatment === 'reset') return void client.resetAndDestroy();
    if (treatment === 'silence') return;
    const server = connect(port, target);
    keep(server);
    client.pipe(server).pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  };
  const open = async () => {
    listening = await listen(createServer(relay), port, address);
  };
  const close = async () => {
    const closed = listening?.stop();
    for (const socket of sockets) socket.destroy();
    await closed;
    listening = undefined;
  };
  await open();
  return {
    accepted: () => accepted,
    treat(connections) {
      treatment = connections;
    },
    close,
    open,
    stop: close,
  };
}
