#!/bin/sh
# Lays out the image's file system in two parts, by how often they change. Run in the build stage of the Dockerfile.
set -eu
system=$1/system
application=$1/application

# Node as package-lock.json pins it, for this machine's architecture.
install -D -m 0755 node_modules/node-linux-*/bin/node "$system/usr/bin/node"
# The libraries that it is linked with, and their loader, where it looks for them.
ldd "$system/usr/bin/node" | sed -n 's|^.*[[:space:]]\(/[^ ]*\) (0x.*$|\1|p' |
  while read -r library; do
    cp --dereference --parents "$library" "$system"
  done

# What they are: vulnerability scanners read it as of a distroless image, people read the licences.
mkdir -p "$system/var/lib/dpkg/status.d"
for package in libc6 libgcc-s1 libstdc++6; do
  dpkg-query --status "$package" >"$system/var/lib/dpkg/status.d/$package"
  cp --dereference --parents "/usr/share/doc/$package/copyright" "$system"
done
install -D -m 0644 node_modules/node-linux-*/LICENSE "$system/usr/share/doc/node/LICENSE"
install -D -m 0644 -t "$system/etc" /etc/os-release /etc/debian_version
echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin' >"$system/etc/passwd"
echo 'nonroot:x:65532:' >"$system/etc/group"
# The C library's default asks DNS before /etc/hosts in some versions.
echo 'hosts: files dns' >"$system/etc/nsswitch.conf"

install -D -m 0644 -t "$application/opt/certbound" LICENSE dist/certbound.mjs dist/certbound.mjs.map dist/certbound.mjs.LEGAL.txt \
  dist/THIRD-PARTY-NOTICES.txt dist/sbom.cdx.json

# Times of files are the only thing that would differ between two builds.
find "$1" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
