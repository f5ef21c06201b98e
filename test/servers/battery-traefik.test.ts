import { battery } from '../battery/battery.ts';
import { traefikProduct } from '../battery/traefik.ts';

battery({ product: traefikProduct('traefik'), hardened: traefikProduct('traefik', true) });
