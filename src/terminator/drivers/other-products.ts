/** Products that no driver configures, and what makes each ask for certificates: for the person whose Ingress is of one. */

export interface OtherProduct {
  name: string;
  /** `spec.controller` of its IngressClasses or `spec.controllerName` of its GatewayClasses. */
  controller: RegExp;
  /** What to set, first things first; an imperative sentence without its full stop. */
  configure: string;
  /** Anchor in docs/terminators.md. */
  section: string;
}

const products: readonly OtherProduct[] = [
  {
    name: 'Istio',
    controller: /^istio\.io\/(ingress|gateway)-controller$/,
    configure:
      'serve the host by a Gateway of networking.istio.io with tls.mode MUTUAL and the CAs in <credentialName>-cacert',
    section: 'istio',
  },
  {
    name: 'NGINX Ingress Controller (F5)',
    controller: /^nginx\.org\/ingress-controller$/,
    configure:
      'put a Policy with ingressMTLS on the VirtualServer, its CAs in a Secret of type nginx.org/ca, and set the header there',
    section: 'nginx-ingress-controller-f5',
  },
  {
    name: 'the OpenShift router',
    controller: /^openshift\.io\/ingress-to-route$/,
    configure: 'set spec.clientTLS of an IngressController of its own, which decides for all its routes',
    section: 'openshift-router',
  },
  {
    name: 'Kong',
    controller: /^ingress-controllers\.konghq\.com\//,
    configure: 'use the plugin mtls-auth of Kong Enterprise with tls-metadata-headers',
    section: 'kong',
  },
  {
    name: 'HAProxy Kubernetes Ingress Controller (HAProxy Technologies)',
    controller: /^haproxy\.org\/ingress-controller(\/|$)/,
    configure: "set client-ca in the controller's ConfigMap, for all its hosts, and request-set-header on the Ingress",
    section: 'haproxy-kubernetes-ingress-controller',
  },
  {
    name: 'Azure Application Gateway',
    controller: /^(azure\/application-gateway|alb\.networking\.azure\.io\/alb-controller)$/,
    configure: 'upload the CAs to an SSL profile of the gateway and forward the certificate by a rewrite rule',
    section: 'azure-application-gateway',
  },
  {
    name: 'GKE',
    controller: /^networking\.gke\.io\/gateway(-controller)?$|^k8s\.io\/ingress-gce$/,
    configure:
      'attach a TrustConfig by a ServerTlsPolicy, or Gateway spec.tls.frontend, and set custom request headers',
    section: 'gke',
  },
  {
    name: 'Cloudflare',
    controller: /^strrl\.dev\/cloudflare-tunnel-ingress-controller$/,
    configure:
      'switch on API Shield mTLS for the host, block what is not verified, and add the TLS client auth headers',
    section: 'cloudflare',
  },
  {
    name: 'Emissary',
    controller: /^getambassador\.io\/ingress-controller$/,
    configure: 'set ca_secret and cert_required in a TLSContext for the host, and XFCC in the Module',
    section: 'emissary',
  },
  {
    name: 'APISIX',
    controller: /^apisix\.apache\.org\/apisix-ingress-controller$/,
    configure: 'set spec.client.caSecret of an ApisixTls for the host and forward the certificate by proxy-rewrite',
    section: 'apisix',
  },
];

export function otherProduct(controller: string): OtherProduct | undefined {
  return products.find((product) => product.controller.test(controller));
}
