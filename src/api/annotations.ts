export const GROUP = 'certbound.dev';

/** On an OAuthClient: any new value asks for a renewal. Written by users, never by the operator. */
export const RENEW_REQUESTED = `${GROUP}/renew-requested`;
/** On an OAuthClient: thumbprints (x5t#S256, as in status.certificates) of certificates whose keys others may have. */
export const COMPROMISED = `${GROUP}/compromised`;

/** On an Ingress (HTTPProxy, Gateway), by its owner: client authentication for the clients of this AuthorizationServer. */
export const OPT_IN = `${GROUP}/authorization-server`;
/** Beside it: `required` (default), `optional` or `request`. */
export const CLIENT_CERTIFICATES = `${GROUP}/client-certificates`;
/** Beside it: `manage` (default), `report` or `off`. */
export const MODE = `${GROUP}/mode`;
/** On an Ingress: ARN of the trust store that a terminator outside the cluster reads its CAs from (AWS). */
export const TRUST_STORE = `${GROUP}/trust-store`;
/** On an Ingress, by whoever fills that trust store: SHA-256 of the bundle that was uploaded, lower-case hexadecimal. */
export const TRUST_STORE_SHA256 = `${GROUP}/trust-store-sha256`;

/** On an IngressClass, by the platform: `true` where no TLS session of one host is resumed on another. */
export const SESSIONS_ISOLATED = `${GROUP}/sessions-isolated`;
/** On an IngressClass of Traefik, by the platform: its kubernetesCRD provider has `safeNaming`. */
export const SAFE_NAMING = `${GROUP}/safe-naming`;
/** On an IngressClass or GatewayClass, by the platform: the version of its product. */
export const PRODUCT_VERSION = `${GROUP}/product-version`;
/** On an IngressClass or GatewayClass, by the platform: `true` where clients' own certificate headers are removed on every host. */
export const CLIENT_HEADERS_REMOVED = `${GROUP}/client-headers-removed`;

/** Label of every Secret and ConfigMap that the operator makes; its value says what the object is for. */
export const ROLE_LABEL = `${GROUP}/role`;
/** Annotation: uid of the object that a made object belongs to. */
export const OWNER_UID = `${GROUP}/owner-uid`;
/** Annotation: `namespace/name` of the object that a made object belongs to. */
export const OWNER = `${GROUP}/owner`;

export const FINALIZER = `${GROUP}/deregistration`;
export const IN_USE_FINALIZER = `${GROUP}/in-use`;

export const Role = {
  /** A client's own Secret in the operator's namespace. */
  client: 'client',
  /** The Secret that an application reads. */
  published: 'published',
  /** Key and certificate of a managed CA. */
  certificateAuthority: 'certificate-authority',
  /** An identity claim. */
  claim: 'claim',
  /** A terminator's CA bundle. */
  trustBundle: 'trust-bundle',
  /** An object of a terminator's own kind. */
  terminator: 'terminator',
} as const;
