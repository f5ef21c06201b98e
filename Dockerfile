# The operator as an image: Node, the libraries that it is linked with, and one file of JavaScript. No shell, no package
# manager. docs/guide.md ("The image") says how to build, verify and run it.

# Any Debian with npm and Node 20 or newer will do: its npm builds, its C libraries are taken over. The Node that is
# shipped is another: the one of package-lock.json, on which the tests ran.
ARG BASE=docker.io/library/node:24.21.0-trixie-slim@sha256:8ec5d7557396cfe32d21c3f9c13072355ceab22b584578ca4bb28af31120cffe

FROM ${BASE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# Secrets, for who reaches the registry through a mirror: an npmrc, and CAs besides Node's. Neither stays in a layer.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --ignore-scripts
COPY LICENSE tsconfig.json ./
COPY hack hack
COPY src src
RUN npm run sbom
ARG SOURCE_DATE_EPOCH=0
RUN sh hack/image-root.sh /image

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="certbound" \
      org.opencontainers.image.description="The Kubernetes operator for certificate-bound OAuth clients (RFC 8705)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Apart, because it seldom changes and is nearly all of the size.
COPY --from=build /image/system /
COPY --from=build /image/application /
USER 65532:65532
WORKDIR /
# SIGUSR1 would open a debugger, and with it every key in memory. V8 by itself takes half of the container's memory limit,
# and up to 96 MB for what is young.
ENTRYPOINT ["/usr/bin/node", "--disable-sigusr1", "--max-old-space-size-percentage=70", "--max-semi-space-size=16", "/opt/certbound/certbound.mjs"]
