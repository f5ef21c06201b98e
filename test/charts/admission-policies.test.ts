/** The chart's admission policies, against an operator that does what it must not. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ROLE_LABEL, Role, TRUST_STORE } from '../../src/api/annotations.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { configMaps, ingresses, namespaces, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { awsAlb } from '../../src/terminator/drivers/aws-alb.ts';
import { haproxy } from '../../src/terminator/drivers/haproxy.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { grantTerminatorRights } from '../support/chart.ts';
import { apply, ingress, opaqueSecret } from '../support/cluster-objects.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { waitFor } from '../support/wait-for.ts';

const own = 'certbound-system';
const team = 'team';
const TLS = 'kubernetes.io/tls';
const pair = { 'tls.crt': 'a', 'tls.key': 'b' };

function secret(namespace: string, name: string, role: string | undefined, type = TLS): KubernetesObject {
  const object = opaqueSecret({ namespace, name }, type === TLS ? pair : { key: 'a' }, type);
  return role === undefined ? object : { ...object, metadata: { ...object.metadata, labels: { [ROLE_LABEL]: role } } };
}

const connect = (path: string) => KubeClient.fromKubeconfig({ path, userAgent: 'test', fieldManager: 'test' });

async function refused(write: Promise<unknown>, words: RegExp): Promise<void> {
  await assert.rejects(write, (error: unknown) => {
    assert.ok(error instanceof KubeError, String(error));
    assert.equal(Math.floor(error.status / 100), 4);
    assert.match(error.message, words);
    return true;
  });
}

/** A policy is in force a moment after it was written. */
function inForce(write: () => Promise<unknown>): Promise<void> {
  return waitFor(() =>
    write().then(
      () => false,
      (error: unknown) => error instanceof KubeError && error.message.includes('Certbound may'),
    ),
  );
}

for (const scope of [[], [team]]) {
  describe(`the operator's writes, serving ${scope.join() || 'everybody'}`, () => {
    let plane: ControlPlane;
    let admin: KubeClient;
    let operator: KubeClient;

    const given = async (object: KubernetesObject): Promise<KubernetesObject> => {
      const [made] = await apply(admin, object);
      assert.ok(made !== undefined);
      return made;
    };
    const onlyItsOwn = /Certbound may change or delete only Secrets that it made/;
    const onlyLabelled = /Certbound may write only Secrets labelled/;
    const onlyOfType = /Certbound may write only Secrets of the type/;

    before(async () => {
      plane = await startControlPlane();
      admin = connect(plane.kubeconfigPath);
      for (const name of [team, 'elsewhere']) await admin.create(namespaces, { metadata: { name } });
      operator = connect(await grantOperatorRights(plane, admin, scope));
      let count = 0;
      await inForce(() => operator.create(secrets, secret(team, `early-${count++}`, undefined)));
      await given(ingress({ namespace: team, name: 'early' }, 'early.example.test', 'api'));
      await inForce(() => {
        const metadata = { namespace: team, name: 'early', annotations: { early: String(count++) } };
        return operator.apply(ingresses, { metadata }, { fieldManager: 'early' });
      });
    });
    after(async () => {
      await operator?.close();
      await admin?.close();
      await plane?.stop();
    });

    it('of Secrets that it made, where they belong, are allowed', async () => {
      for (const [namespace, role, type] of [
        [team, Role.published, TLS],
        [team, Role.trustBundle, 'Opaque'],
        [own, Role.client, 'Opaque'],
        [own, Role.certificateAuthority, TLS],
      ] as const) {
        const made = await operator.create(secrets, secret(namespace, `own-${role}`, role, type));
        const changed = await operator.update(secrets, {
          ...made,
          metadata: { ...made.metadata, annotations: { a: 'b' } },
        });
        await operator.delete(secrets, { namespace, name: changed.metadata.name });
      }
    });

    it('of other Secrets are refused', async () => {
      await refused(operator.create(secrets, secret(team, 'plain', undefined)), onlyLabelled);
      await refused(operator.create(secrets, secret(team, 'record', Role.client, 'Opaque')), onlyLabelled);
      await refused(operator.create(secrets, secret(own, 'plain', undefined)), onlyLabelled);
      const foreign = await given(secret(team, 'foreign', undefined));
      const stolen = { ...foreign, metadata: { ...foreign.metadata, labels: { [ROLE_LABEL]: Role.published } } };
      await refused(operator.update(secrets, stolen), onlyItsOwn);
      await refused(operator.delete(secrets, { namespace: team, name: 'foreign' }), onlyItsOwn);
      const credential = await given(secret(own, 'initial-access-token', undefined, 'Opaque'));
      await refused(operator.update(secrets, credential), onlyItsOwn);
      await refused(operator.delete(secrets, { namespace: own, name: 'initial-access-token' }), onlyItsOwn);
      const ours = await operator.create(secrets, secret(team, 'ours', Role.published));
      await refused(operator.update(secrets, { ...ours, metadata: { ...ours.metadata, labels: {} } }), onlyLabelled);
    });

    it('cannot mint a token of a ServiceAccount', async () => {
      for (const namespace of [team, own]) {
        const token = secret(namespace, 'token', Role.published, 'kubernetes.io/service-account-token');
        const annotations = { 'kubernetes.io/service-account.name': 'default' };
        const metadata = { ...token.metadata, annotations };
        await refused(operator.create(secrets, { ...token, metadata }), onlyOfType);
      }
    });

    it('mend what was published and lost its label', async () => {
      const ownerReferences = [
        { apiVersion: 'certbound.dev/v1alpha1', kind: 'OAuthClient', name: 'batch', uid: 'u-1', controller: true },
      ];
      const published = secret(team, 'unlabelled', undefined);
      const lost = await given({ ...published, metadata: { ...published.metadata, ownerReferences } });
      const labels = { [ROLE_LABEL]: Role.published };
      await operator.update(secrets, { ...lost, metadata: { ...lost.metadata, labels } });
      const other = secret(team, 'of-a-deployment', undefined);
      const reference = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'a', uid: 'u-2', controller: true };
      const foreign = await given({ ...other, metadata: { ...other.metadata, ownerReferences: [reference] } });
      await refused(operator.update(secrets, { ...foreign, metadata: { ...foreign.metadata, labels } }), onlyItsOwn);
    });

    it('of its own annotations on an Ingress are allowed, and everything else of it is refused', async () => {
      const ref = { namespace: team, name: 'api' };
      const owners = { [ROLE_LABEL]: 'x', 'example.com/team': 'api' };
      const made = await given(ingress({ ...ref, annotations: owners }, 'api.example.test', 'api'));
      const { settings: annotations } = nginx.render({
        frontend: { ...ref, settings: {} },
        bundle: { namespace: team, name: 'certbound-trust-0123456789abcdef' },
        mode: 'required',
        depth: 1,
      });
      const write = (change: Record<string, string> | undefined, more: Partial<KubernetesObject> = {}) => {
        const metadata = {
          ...ref,
          ...(made.metadata.uid && { uid: made.metadata.uid }),
          ...(change && { annotations: change }),
        };
        return operator.apply(ingresses, { metadata, ...more }, { fieldManager: FIELD_MANAGER, force: true });
      };
      const written = await write(annotations);
      assert.deepEqual(written.metadata.annotations, { ...owners, ...annotations });
      const set = (key: string, value: string) =>
        write({ ...annotations, [`nginx.ingress.kubernetes.io/${key}`]: value });
      await refused(set('auth-tls-match-cn', 'CN=x'), /no annotation of an Ingress but its own/);
      await refused(set('server-snippet', 'return 200;'), /no annotation of an Ingress but its own/);
      await refused(write({ ...annotations, 'example.com/team': 'x' }), /no annotation of an Ingress but its own/);
      await refused(set('auth-tls-verify-client', 'off'), /may not switch the verification/);
      await refused(set('auth-tls-secret', `elsewhere/certbound-trust-0123456789abcdef`), /no CA bundle but its own/);
      await refused(set('auth-tls-secret', `${team}/somebody-elses`), /no CA bundle but its own/);
      const spec = Object(made['spec']);
      await refused(write(annotations, { spec: { ...spec, ingressClassName: 'other' } }), /nothing of an Ingress but/);
      const patch = (metadata: Record<string, unknown>) =>
        operator.patch(ingresses, ref, { metadata }, { type: 'merge' });
      await refused(patch({ labels: { a: 'b' } }), /nothing of an Ingress but annotations/);
      await refused(patch({ finalizers: ['example.com/held'] }), /nothing of an Ingress but annotations/);
      await refused(patch({ annotations: { 'example.com/team': null } }), /no annotation of an Ingress but its own/);
      const withdrawn = await write(undefined);
      assert.deepEqual(withdrawn.metadata.annotations, owners);
      await refused(operator.delete(ingresses, ref), /cannot delete/);
      await refused(
        operator.create(ingresses, ingress({ ...ref, name: 'new' }, 'new.example.test', 'api')),
        /cannot create/,
      );
      // One that vanished is not brought back.
      await admin.delete(ingresses, ref);
      await refused(write(annotations), /uid mismatch/);
    });

    it('of the annotations of haproxy-ingress and AWS are allowed where those are switched on, and held to the same', async () => {
      // With what is rendered for everybody; the rules are the same for some.
      if (scope.length > 0) return;
      const ref = { namespace: team, name: 'products' };
      const made = await given(
        ingress({ ...ref, annotations: { 'example.com/team': 'api' } }, 'b.example.test', 'api'),
      );
      const bundle = { namespace: team, name: 'certbound-trust-0123456789abcdef' };
      const store = 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:truststore/clients/0123456789abcdef';
      const rendered = (driver: typeof nginx, settings: Record<string, string> = {}) =>
        driver.render({ frontend: { ...ref, settings }, bundle, mode: 'required', depth: 1 }).settings;
      const [ofHaproxy, ofAlb] = [
        rendered(haproxy),
        rendered(awsAlb, { [TRUST_STORE]: store, 'alb.ingress.kubernetes.io/listen-ports': '[{"HTTPS":443}]' }),
      ];
      const write = (annotations: Readonly<Record<string, string>>) => {
        const metadata = { ...ref, ...(made.metadata.uid && { uid: made.metadata.uid }), annotations };
        return operator.apply(ingresses, { metadata }, { fieldManager: FIELD_MANAGER, force: true });
      };
      await refused(write(ofHaproxy), /no annotation of an Ingress but its own/);
      await refused(write(ofAlb), /no annotation of an Ingress but its own/);
      await grantTerminatorRights(admin, ['nginx', 'haproxy', 'aws-alb']);
      await waitFor(() =>
        write({ ...ofHaproxy, ...ofAlb }).then(
          () => true,
          () => false,
        ),
      );
      const set = (key: string, value: string) => write({ ...ofHaproxy, ...ofAlb, [key]: value });
      const ofIngress = (name: string, value: string) => set(`haproxy-ingress.github.io/${name}`, value);
      await refused(ofIngress('auth-tls-verify-client', 'off'), /may not switch the verification/);
      await refused(ofIngress('auth-tls-strict', 'false'), /may not switch the verification/);
      await refused(
        ofIngress('auth-tls-secret', 'elsewhere/certbound-trust-0123456789abcdef'),
        /no CA bundle but its own/,
      );
      await refused(ofIngress('auth-tls-secret', `${team}/somebody-elses`), /no CA bundle but its own/);
      await refused(ofIngress('config-backend', 'http-request deny'), /no annotation of an Ingress but its own/);
      await refused(ofIngress('ssl-passthrough', 'true'), /no annotation of an Ingress but its own/);
      for (const mode of ['off', 'passthrough']) {
        const entries = JSON.stringify([{ port: 443, mode, trustStore: store }]);
        await refused(
          set('alb.ingress.kubernetes.io/mutual-authentication', entries),
          /may not switch the verification/,
        );
      }
      await refused(set('alb.ingress.kubernetes.io/listen-ports', '[{"HTTP":80}]'), /no annotation of an Ingress but/);
      await refused(set(TRUST_STORE, store), /no annotation of an Ingress but its own/);
    });

    it('bind nobody else', async () => {
      await given(secret(team, 'of-a-person', undefined));
      await admin.delete(secrets, { namespace: team, name: 'of-a-person' });
      await given(ingress({ namespace: team, name: 'people', annotations: { any: 'thing' } }, 'p.example.test', 'api'));
    });

    it('and reads stop where its rights do', async () => {
      await refused(operator.list(configMaps, { namespace: team }), /forbidden/);
      await refused(operator.create(configMaps, { metadata: { namespace: team, name: 'x' } }), /forbidden/);
      const everywhere = [
        () => operator.list(secrets),
        () => operator.list(secrets, { namespace: 'elsewhere' }),
        () => operator.get(secrets, { namespace: 'elsewhere', name: 'any' }),
        () => operator.list(ingresses),
      ];
      for (const read of everywhere) {
        if (scope.length === 0) await read();
        else await refused(read(), /forbidden/);
      }
      await operator.list(secrets, { namespace: team });
    });
  });
}
