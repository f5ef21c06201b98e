import type { ClientMetadata, Registration, RegistrationDriver, ServerAccess } from '../../authserver/driver.ts';
import type { Adoption } from '../../authserver/registration/client-ids.ts';
import { quotable } from '../../authserver/connection/server-text.ts';
import { asOperatorError, OperatorError, REFUSED_AGAIN_MS } from '../../errors.ts';

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

type Ownership = 'ours' | 'unmarked' | 'a namesake’s' | 'another’s';

function ownershipOf({ metadata }: Registration, asked: ClientMetadata): Ownership {
  const { certbound_owner: owner, certbound_owner_uid: uid } = metadata;
  if (owner === undefined || owner === null || owner === '') return 'unmarked';
  if (owner !== asked['certbound_owner']) return 'another’s';
  return uid === undefined || uid === asked['certbound_owner_uid'] ? 'ours' : 'a namesake’s';
}

/** A cluster that was rebuilt without its Secrets looks the same from here as two clusters that are called the same. */
function madeByNamesake({ clientId, metadata }: Registration): OperatorError {
  const [mark, uid] = ['certbound_owner', 'certbound_owner_uid'].map((member) => String(metadata[member]));
  return new OperatorError(
    'RegisteredByNamesake',
    `The realm has client "${clientId}" of an OAuthClient with this one's mark, ${quotable(mark ?? '')}, and another uid (${quotable(uid ?? '')}): it ` +
      'was made before this object was, or by another cluster with the same clusterId, whose client it then is. If it is another ' +
      'cluster’s, reinstall the operator of this one with a clusterId of its own. If there is none, set the annotation ' +
      'certbound.dev/renew-requested to take the client over.',
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

interface Created {
  registration: Registration;
  /** It was there, made by somebody else. */
  adopted: boolean;
}

/**
 * One that is there already becomes what is asked for, where it may: ours, of a call that nobody heard the answer of or of a record
 * that was lost; or one without a mark that the platform lists for this OAuthClient.
 *
 * @param recovering somebody says that a client of this name that is there is nobody else's
 */
export async function createOrTakeOver(
  driver: RegistrationDriver,
  access: ServerAccess,
  asked: ClientMetadata,
  { adoption, recovering }: { adoption: Adoption; recovering: boolean },
): Promise<Created> {
  try {
    return { registration: await driver.create(access, asked), adopted: false };
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'ClientIdTaken' || adoption === 'Never') throw thrown;
    const found = await findNamed(driver, access, asked);
    const ownership = found && ownershipOf(found, asked);
    const adopted = ownership === 'unmarked' && adoption === 'Listed';
    if (found !== undefined && ownership === 'a namesake’s' && !recovering) throw madeByNamesake(found);
    if (found === undefined || ownership === 'another’s' || (ownership === 'unmarked' && !adopted)) throw thrown;
    const { clientId, metadata: lastAnswer } = found;
    const handle = { clientId, lastAnswer, registrationClientUri: undefined, registrationAccessToken: undefined };
    return { registration: await driver.update(access, handle, asked), adopted };
  }
}
