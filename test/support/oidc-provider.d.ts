/** The part of oidc-provider 9 that the test server uses; the package has no types of its own. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  export interface Context {
    req: IncomingMessage;
    res: ServerResponse;
    method: string;
    path: string;
    status: number;
    body: unknown;
    /** False: whoever set it answers. */
    respond: boolean;
    get(header: string): string;
    set(header: string, value: string): void;
    oidc: {
      client?: unknown;
      entities: { RegistrationAccessToken?: RegistrationAccessToken };
    };
  }

  export interface RegistrationAccessToken {
    save(): Promise<string>;
    destroy(): Promise<void>;
  }

  export interface Adapter {
    upsert(id: string, payload: Record<string, unknown>, expiresIn?: number): Promise<void>;
    find(id: string): Promise<Record<string, unknown> | undefined>;
    findByUid(uid: string): Promise<Record<string, unknown> | undefined>;
    findByUserCode(userCode: string): Promise<Record<string, unknown> | undefined>;
    consume(id: string): Promise<void>;
    destroy(id: string): Promise<void>;
    revokeByGrantId(grantId: string): Promise<void>;
  }

  /** https://github.com/panva/node-oidc-provider/blob/main/docs/README.md */
  export type Configuration = Readonly<Record<string, unknown>> & { adapter: (model: string) => Adapter };

  export class Provider {
    constructor(issuer: string, configuration: Configuration);
    readonly issuer: string;
    proxy: boolean;
    readonly RegistrationAccessToken: new (of: { client: unknown }) => RegistrationAccessToken;
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): this;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    on(event: string, listener: (...args: unknown[]) => void): this;
  }

  export const errors: Record<'InvalidTarget', new () => Error>;
}
