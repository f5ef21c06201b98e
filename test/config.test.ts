import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readConfig } from '../src/config.ts';
import { OperatorError } from '../src/errors.ts';

const least = { CERTBOUND_CLUSTER_ID: 'prod-1' };

describe('configuration', () => {
  test('the cluster id is all that is required', () => {
    assert.deepEqual(readConfig(least), {
      clusterId: 'prod-1',
      namespace: 'certbound-system',
      watchNamespaces: [],
      terminators: new Set(['nginx']),
      manualTerminators: new Set(),
      terminatorAddresses: new Map(),
      controllerName: 'certbound.dev/operator',
      leaderElection: true,
      leaseName: 'certbound',
      podName: undefined,
      kubeconfig: undefined,
      logLevel: 'info',
      httpAddress: '0.0.0.0',
      httpPort: 8080,
      jwks: undefined,
      workers: 16,
    });
  });

  test('everything can be set', () => {
    const config = readConfig({
      ...least,
      CERTBOUND_NAMESPACE: 'oauth',
      CERTBOUND_WATCH_NAMESPACES: 'payments, accounts,payments',
      CERTBOUND_TERMINATORS: 'nginx, nginx',
      CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({
        'k8s.io/ingress-nginx': ['ingress-nginx-controller.ingress-nginx.svc:443', '[2001:db8::1]:8443'],
      }),
      CERTBOUND_TERMINATORS_MANUAL: 'example.com/a_b/C, nginx.org/ingress-controller',
      CERTBOUND_CONTROLLER_NAME: 'example.com/second',
      CERTBOUND_LEADER_ELECTION: 'false',
      CERTBOUND_POD_NAME: 'certbound-7d4-x2',
      KUBECONFIG: '/etc/kubeconfig',
      CERTBOUND_LOG_LEVEL: 'debug',
      CERTBOUND_HTTP_ADDRESS: '127.0.0.1',
      CERTBOUND_HTTP_PORT: '0',
      CERTBOUND_JWKS_URL: 'https://keys.example.com/certbound',
      CERTBOUND_JWKS_PORT: '9443',
      CERTBOUND_JWKS_TLS_DIRECTORY: '/tls',
      CERTBOUND_WORKERS: '4',
      HOME: '/root',
    });
    assert.deepEqual(config, {
      clusterId: 'prod-1',
      namespace: 'oauth',
      watchNamespaces: ['payments', 'accounts'],
      terminatorAddresses: new Map([
        [
          'k8s.io/ingress-nginx',
          [
            { host: 'ingress-nginx-controller.ingress-nginx.svc', port: 443 },
            { host: '2001:db8::1', port: 8443 },
          ],
        ],
      ]),
      terminators: new Set(['nginx', 'manual']),
      manualTerminators: new Set(['example.com/a_b/C', 'nginx.org/ingress-controller']),
      controllerName: 'example.com/second',
      leaderElection: false,
      leaseName: 'certbound-8f5cc6d1bc',
      podName: 'certbound-7d4-x2',
      kubeconfig: '/etc/kubeconfig',
      logLevel: 'debug',
      httpAddress: '127.0.0.1',
      httpPort: 0,
      jwks: { url: 'https://keys.example.com/certbound', port: 9443, tlsDirectory: '/tls' },
      workers: 4,
    });
  });

  test('an empty variable is one that is not set, as a chart writes it', () => {
    const config = readConfig({ ...least, CERTBOUND_NAMESPACE: '', KUBECONFIG: '', CERTBOUND_HTTP_PORT: '' });
    assert.deepEqual([config.namespace, config.kubeconfig, config.httpPort], ['certbound-system', undefined, 8080]);
    assert.throws(() => readConfig({ CERTBOUND_CLUSTER_ID: '' }), OperatorError);
  });

  test('nobody changes it later', () => assert.ok(Object.isFrozen(readConfig(least))));

  const wrong: [string, string][] = [
    // It becomes part of DNs, markers and labels.
    ['CERTBOUND_CLUSTER_ID', 'Prod_1'],
    ['CERTBOUND_CLUSTER_ID', 'a/b'],
    ['CERTBOUND_CLUSTER_ID', 'x'.repeat(41)],
    ['CERTBOUND_NAMESPACE', 'UPPER'],
    // A stray comma must not come to mean all namespaces.
    ['CERTBOUND_WATCH_NAMESPACES', 'payments,'],
    ['CERTBOUND_WATCH_NAMESPACES', '*'],
    ['CERTBOUND_TERMINATORS', 'apache'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', 'ingress-nginx:443'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', '{"k8s.io/ingress-nginx": "ingress-nginx:443"}'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', '{"k8s.io/ingress-nginx": []}'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', '{"k8s.io/ingress-nginx": ["https://ingress-nginx:443"]}'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', '{"k8s.io/ingress-nginx": ["ingress-nginx"]}'],
    ['CERTBOUND_TERMINATOR_ADDRESSES', '{"k8s.io/ingress-nginx": ["ingress-nginx:65536"]}'],
    ['CERTBOUND_TERMINATORS', 'manual'],
    ['CERTBOUND_TERMINATORS_MANUAL', 'istio'],
    ['CERTBOUND_TERMINATORS_MANUAL', 'istio.io/ingress-controller,'],
    ['CERTBOUND_LEADER_ELECTION', 'yes'],
    ['CERTBOUND_LEADER_ELECTION', 'FALSE '],
    // Part of an identity and of a header.
    ['CERTBOUND_POD_NAME', 'a_b'],
    ['CERTBOUND_LOG_LEVEL', 'loud'],
    ['CERTBOUND_JWKS_URL', 'http://keys.example.com'],
    ['CERTBOUND_JWKS_URL', 'https://keys.example.com/?a=b'],
    ['CERTBOUND_HTTP_PORT', '65536'],
    ['CERTBOUND_HTTP_PORT', 'http'],
    ['CERTBOUND_WORKERS', '0'],
    ['CERTBOUND_WORKERS', '1.5'],
  ];
  for (const [variable, value] of wrong) {
    test(`${variable}=${value.slice(0, 20)} is refused by name`, () => {
      assert.throws(
        () => readConfig({ ...least, [variable]: value }),
        (error: unknown) =>
          error instanceof OperatorError &&
          error.code === 'InvalidConfiguration' &&
          error.retry.class === 'terminal' &&
          error.message.includes(variable),
      );
    });
  }

  test('all that is wrong is said at once, without the values', () => {
    assert.throws(
      () => readConfig({ CERTBOUND_WORKERS: 'secret-looking', CERTBOUND_HTTP_PORT: '-1' }),
      (error: unknown) =>
        error instanceof OperatorError &&
        ['CERTBOUND_CLUSTER_ID', 'CERTBOUND_WORKERS', 'CERTBOUND_HTTP_PORT'].every((v) => error.message.includes(v)) &&
        !error.message.includes('secret-looking'),
    );
  });
});
