import { authorizationServers } from '../../api/resources.ts';
import { referenceTo } from '../../kube/event-recorder.ts';
import type { Orphan } from '../checks/deletion.ts';
import type { ClientView } from '../step.ts';
import { tell, type StepContext } from './context.ts';

/** Who has the server to clean up is told too: the OAuthClient, or its namespace with its events, is about to be gone. */
export function tellOrphaned(context: StepContext, view: ClientView, { clientId, cause, why }: Orphan): void {
  const { client, server } = view.observed;
  const { namespace, name } = client.metadata;
  const note = `Client ${clientId} stays registered at the server (${why}).`;
  tell(context, view, 'Warning', 'Orphaned', note);
  if (server !== undefined) {
    const { name: serverName, uid } = server.metadata;
    const regarding = referenceTo(authorizationServers, { name: serverName, uid });
    const of = `${note} It was OAuthClient ${namespace}/${name}.`;
    context.recorder.record({ regarding, type: 'Warning', reason: 'Orphaned', action: 'Orphaned', note: of });
  }
  context.metrics.leftBehind(server?.metadata.name ?? '', cause);
  context.logger.warn({ namespace, name, clientId, cause }, 'a client stays registered at the server');
}
