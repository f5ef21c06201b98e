import { battery } from '../battery/battery.ts';
import { traefikProduct } from '../battery/traefik.ts';

battery({ product: traefikProduct('traefik-nginx'), hardened: traefikProduct('traefik-nginx', true) });
