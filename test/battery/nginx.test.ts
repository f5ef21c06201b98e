import { battery } from './battery.ts';
import { nginxProduct } from './ingress-controllers.ts';

battery({
  product: nginxProduct(),
  hardened: nginxProduct({
    proxySetHeaders: {
      'ssl-client-cert': '',
      'ssl-client-verify': '',
      'ssl-client-subject-dn': '',
      'ssl-client-issuer-dn': '',
    },
    rejectHandshake: true,
    sessionCache: false,
  }),
});
