# thinfuse in a container: the daemon of one pool, whose devices and mounts the host sees.
#
#   docker build -t thinfuse .
#   mkdir -p /var/lib/thinfuse
#   docker run -d --name thinfuse --privileged --device /dev/fuse -v /dev:/dev \
#     -v /var/lib/thinfuse:/var/lib/thinfuse:rshared thinfuse
#   docker exec thinfuse thinfuse container ls
#
# -e THINFUSE_INIT="--base-size 20G"     options of init, before the first start
# -e THINFUSE_START="--supervised"       options of every start
#
# --privileged, --device /dev/fuse   mounting, FUSE and loop devices
# -v /dev:/dev                       a loop device that the kernel adds later appears in the container too
# :rshared                           what the daemon mounts below /var/lib/thinfuse shows on the host and in other containers; the
#                                    host's folder must be on a shared mount, which systemd makes of / (else: mount --make-rshared /)
#
# Stop it with a longer grace than Docker's 10 seconds if much is unflushed: docker stop -t 60 thinfuse.

ARG BASE_IMAGE=node:20-bookworm-slim

FROM ${BASE_IMAGE} AS build
# fuse-native's binary for x86-64 needs libfuse 2; elsewhere npm compiles one with the rest.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libfuse2 \
    $([ "$(dpkg --print-architecture)" = amd64 ] || echo g++ libfuse-dev make python3) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/thinfuse
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/bundle.js scripts/
COPY page page
COPY src src
RUN npm run build && npm prune --omit=dev

FROM ${BASE_IMAGE}
# What thinfuse runs, and what its messages name: `npm run tables` writes it from src/config/host-tools.ts.
ARG HOST_PACKAGES="attr bzip2 coreutils dash dmsetup e2fsprogs fuse grep gzip kmod libfuse2 man-db mount openssh-client perl-base psmisc qemu-utils skopeo tar thin-provisioning-tools umoci util-linux xfsprogs xz-utils zstd"
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini ${HOST_PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/thinfuse
COPY --from=build /opt/thinfuse/package.json ./
COPY --from=build /opt/thinfuse/node_modules node_modules
COPY --from=build /opt/thinfuse/dist dist
COPY proto proto
COPY docker/thinfuse docker/entrypoint /usr/local/bin/
RUN mkdir -p /usr/local/share/man/man8 && ln -s /opt/thinfuse/dist/man/thinfuse.8 /usr/local/share/man/man8/
LABEL org.opencontainers.image.title="thinfuse" \
    org.opencontainers.image.description="A device-mapper thin pool in userspace" \
    org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production THINFUSE_ROOT=/var/lib/thinfuse
WORKDIR /
VOLUME /var/lib/thinfuse
STOPSIGNAL SIGTERM
# It fails until the daemon answers, and when it answers no more.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["thinfuse", "status"]
# tini reaps what ends without a parent; the daemon would not.
ENTRYPOINT ["tini", "--", "entrypoint"]
CMD ["start", "--foreground"]
