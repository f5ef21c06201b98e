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

  /** What a user agreed to. */
  export interface Grant {
    addOIDCScope(scope: string): void;
    addResourceScope(resource: string, scope: string): void;
    save(): Promise<string>;
  }

  /** A login or a consent that is waited for. */
  export interface Interaction {
    prompt: {
      name: string;
      details: {
        missingOIDCScope?: readonly string[];
        missingResourceScopes?: Readonly<Record<string, readonly string[]>>;
      };
    };
    params: { client_id: string };
    session?: { accountId: string };
    grantId?: string;
  }

  /** https://github.com/panva/node-oidc-provider/blob/main/docs/README.md */
  export type Configuration = Readonly<Record<string, unknown>> & { adapter: (model: string) => Adapter };

  export class Provider {
    constructor(issuer: string, configuration: Configuration);
    readonly issuer: string;
    proxy: boolean;
    readonly RegistrationAccessToken: new (of: { client: unknown }) => RegistrationAccessToken;
    readonly InitialAccessToken: new (of: { expiresIn: number }) => { save(): Promise<string> };
    use(middleware: (context: Context, next: () => Promise<void>) => Promise<void>): this;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    on(event: string, listener: (...args: unknown[]) => void): this;
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: Readonly<Record<string, unknown>>,
    ): Promise<void>;
    readonly Grant: {
      new (of: { accountId: string; clientId: string }): Grant;
      find(id: string): Promise<Grant | undefined>;
    };
  }

  export const errors: Record<'InvalidTarget', new () => Error>;
}
