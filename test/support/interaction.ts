/** What a user meets at the test server: one page for login and one for consent, each with a button. */
import type { Context, Provider } from 'oidc-provider';

export const USER = 'alice';

const isInteraction = ({ path }: Context) => path.startsWith('/interaction/');

/** Answers where the request is a user's; GET shows the page, POST presses its button. */
export async function interact(provider: Provider, context: Context): Promise<boolean> {
  if (!isInteraction(context)) return false;
  const { req, res } = context;
  const interaction = await provider.interactionDetails(req, res);
  const { name } = interaction.prompt;
  if (context.method === 'GET') {
    context.status = 200;
    context.set('content-type', 'text/html');
    context.body = `<!doctype html><title>${name}</title><form method="post"><button>${name}</button></form>`;
    return true;
  }
  const result =
    name === 'login' ? { login: { accountId: USER } } : { consent: { grantId: await granted(provider, interaction) } };
  context.respond = false;
  await provider.interactionFinished(req, res, result);
  return true;
}

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

/** The user consents to whatever is asked for. */
async function granted(provider: Provider, { params, prompt, session, grantId }: Interaction): Promise<string> {
  const before = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const grant = before ?? new provider.Grant({ accountId: session?.accountId ?? '', clientId: params.client_id });
  const { missingOIDCScope = [], missingResourceScopes = {} } = prompt.details;
  if (missingOIDCScope.length > 0) grant.addOIDCScope(missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return grant.save();
}
