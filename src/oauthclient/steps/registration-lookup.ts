import type { ClientMetadata, Registration, RegistrationDriver, ServerAccess } from '../../authserver/driver.ts';
import { asOperatorError } from '../../errors.ts';

/** The client under the id that is asked for, if it carries our mark. Whoever else's it is, it is left alone. */
export async function findOurs(
  driver: RegistrationDriver,
  access: ServerAccess,
  asked: ClientMetadata,
): Promise<Registration | undefined> {
  const { client_id: clientId, certbound_owner: owner } = asked;
  if (driver.find === undefined || typeof clientId !== 'string' || owner === undefined) return undefined;
  const found = await driver.find(access, clientId);
  return found?.metadata['certbound_owner'] === owner ? found : undefined;
}

/** One of ours that is there already, of a call that nobody heard the answer of or of a record that was lost, becomes what is asked for. */
export async function createOrTakeOver(
  driver: RegistrationDriver,
  access: ServerAccess,
  asked: ClientMetadata,
): Promise<Registration> {
  try {
    return await driver.create(access, asked);
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'ClientIdTaken') throw thrown;
    const found = await findOurs(driver, access, asked);
    if (found === undefined) throw thrown;
    const { clientId, metadata: lastAnswer } = found;
    const handle = { clientId, lastAnswer, registrationClientUri: undefined, registrationAccessToken: undefined };
    return driver.update(access, handle, asked);
  }
}
