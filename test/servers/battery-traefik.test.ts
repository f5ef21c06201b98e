import { battery } from '../battery/battery.ts';
import { traefikProduct } from '../battery/clusters.ts';

battery({ product: traefikProduct('traefik') });
