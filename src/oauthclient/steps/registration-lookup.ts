import type { ClientMetadata, Registration, RegistrationDriver, ServerAccess } from '../../authserver/driver.ts';
import type { Adoption } from '../../authserver/registration/client-ids.ts';
import { asOperatorError } from '../../errors.ts';

/** The client under the id that is asked for, if it carries our mark. Whoever else's it is, it is left alone. */
export async function findOurs(
  driver: RegistrationDriver,
  access: ServerAccess,
  asked: ClientMetadata,
): Promise<Registration | undefined> {
  const found = await findNamed(driver, access, asked);
  return found !== undefined && ownershipOf(found, asked) === 'ours' ? found : undefined;
}

async function findNamed(
  driver: RegistrationDriver,
  access: ServerAccess,
  { client_id: clientId, certbound_owner: owner }: ClientMetadata,
): Promise<Registration | undefined> {
  if (driver.find === undefined || typeof clientId !== 'string' || owner === undefined) return undefined;
  return driver.find(access, clientId);
}

function ownershipOf({ metadata }: Registration, asked: ClientMetadata): 'ours' | 'unmarked' | 'another’s' {
  const { certbound_owner: owner } = metadata;
  if (owner === undefined || owner === null || owner === '') return 'unmarked';
  return owner === asked['certbound_owner'] ? 'ours' : 'another’s';
}

interface Created {
  registration: Registration;
  /** It was there, made by somebody else. */
  adopted: boolean;
}

/**
 * One that is there already becomes what is asked for, where it may: ours, of a call that nobody heard the answer of or of a record
 * that was lost; or one without a mark that the platform lists for this OAuthClient.
 */
export async function createOrTakeOver(
  driver: RegistrationDriver,
  access: ServerAccess,
  asked: ClientMetadata,
  adoption: Adoption,
): Promise<Created> {
  try {
    return { registration: await driver.create(access, asked), adopted: false };
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'ClientIdTaken' || adoption === 'Never') throw thrown;
    const found = await findNamed(driver, access, asked);
    const ownership = found && ownershipOf(found, asked);
    const adopted = ownership === 'unmarked' && adoption === 'Listed';
    if (found === undefined || (ownership !== 'ours' && !adopted)) throw thrown;
    const { clientId, metadata: lastAnswer } = found;
    const handle = { clientId, lastAnswer, registrationClientUri: undefined, registrationAccessToken: undefined };
    return { registration: await driver.update(access, handle, asked), adopted };
  }
}
