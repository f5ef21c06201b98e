import { battery } from '../battery/battery.ts';
import { traefikProduct } from '../battery/traefik.ts';

const rejecting = '--entryPoints.websecure.http.underscoreHeadersStrategy=reject';

battery({ product: traefikProduct('traefik'), hardened: traefikProduct('traefik', [rejecting]) });
