import { battery } from './battery.ts';
import { haproxyProduct } from './ingress-controllers.ts';

battery({
  product: haproxyProduct(),
  hardened: haproxyProduct({
    configGlobal: ['tune.ssl.cachesize 0'],
    configDefaults: ['option http-restrict-req-hdr-names delete'],
  }),
});
