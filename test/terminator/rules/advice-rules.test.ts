/** What else lets callers past a host, and what is told in mode report. */
import { describe } from 'node:test';
import { settledWorld } from '../world.ts';
import { bundlePem, eachRow, prefix, wanted } from './rows.ts';

describe('what is said besides', () => {
  eachRow([
    {
      title: 'HostShared, and protected all the same',
      world: () => settledWorld().ingress({ name: 'web', server: '-', service: 'web' }),
      said: ['HostShared'],
      step: 'writeBundle',
    },
    {
      title: 'BackendExposed through another host',
      world: () => settledWorld().ingress({ name: 'public', server: '-', hosts: ['www.example.test'] }),
      said: ['BackendExposed'],
      step: 'writeBundle',
    },
    {
      title: 'BackendExposed through the default server of another class',
      world: () =>
        settledWorld()
          .ingressClass('internal', 'example.com/other')
          .ingress({ name: 'internal', server: '-', hosts: [''], className: 'internal' }),
      said: ['BackendExposed'],
      step: 'writeBundle',
    },
    {
      title: 'no BackendExposed through a host that has client authentication',
      world: () => settledWorld().ingress({ name: 'b', server: '-', hosts: ['b.example.test'], annotations: wanted }),
      said: [],
      step: 'writeBundle',
    },
    {
      title: 'BackendExposed through a host whose terminator does not forward the certificate',
      world: () =>
        settledWorld().ingress({
          name: 'b',
          server: '-',
          hosts: ['b.example.test'],
          annotations: { ...wanted, [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'false' },
        }),
      said: ['BackendExposed'],
      step: 'writeBundle',
    },
    {
      title: 'PlainHTTP',
      world: () => settledWorld().ingress({ annotations: { [`${prefix}/ssl-redirect`]: 'false' } }),
      said: ['PlainHTTP'],
      step: 'writeBundle',
    },
    {
      title: 'ReportOnly: nothing is written',
      world: () => settledWorld().ingress({ mode: 'report' }),
      said: ['ReportOnly'],
      step: undefined,
    },
    {
      title: 'ReportOnly: nothing is left to report',
      world: () => settledWorld().bundle(bundlePem).ingress({ mode: 'report', annotations: wanted }),
      said: [],
      step: undefined,
    },
  ]);
});
