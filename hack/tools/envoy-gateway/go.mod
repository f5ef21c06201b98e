// The pinned source of the Envoy Gateway that test/support/envoy-gateway.ts starts; test/support/binaries.ts builds it.
module certbound.dev/hack/tools/envoy-gateway

go 1.26.8

tool github.com/envoyproxy/gateway/cmd/envoy-gateway

require github.com/envoyproxy/gateway v1.9.1
