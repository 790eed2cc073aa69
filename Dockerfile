# Images of Hierarchy: "hierarchy", which is a worker unless told otherwise, and
# "broker", which is nats-server at the version this module is tested with.
#
#   docker build -t hierarchy .
#   docker build -t hierarchy-broker --target broker .
#
# Where no image can be pulled, the targets prebuilt and prebuilt-broker take static
# binaries from a folder and need nothing else (make image does all of this):
#
#   mkdir -p dist/image/data && cp deploy/nats/*.conf dist/image
#   CGO_ENABLED=0 go build -trimpath -o dist/image/ ./cmd/hierarchy
#   CGO_ENABLED=0 go build -trimpath -o dist/image/nats-server github.com/nats-io/nats-server/v2
#   docker build -t hierarchy --target prebuilt -f Dockerfile dist/image
#   docker build -t hierarchy-broker --target prebuilt-broker -f Dockerfile dist/image
#
# All of them hold static binaries and an empty folder /data, run as user 65532, and
# work with a read-only root. A broker keeps everything in the volume /data; a worker
# keeps nothing. The prebuilt ones come before the stages that pull, since an older
# builder walks through every stage above its target.

FROM scratch AS bare
ENV PATH=/usr/local/bin XDG_STATE_HOME=/data HIERARCHY_HTTP=0.0.0.0:8222
USER 65532:65532
EXPOSE 4222 8222
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["hierarchy", "healthcheck"]
ENTRYPOINT ["hierarchy"]
CMD ["run"]

FROM scratch AS bare-broker
ENV PATH=/usr/local/bin
USER 65532:65532
EXPOSE 4222 6222 8222
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["hierarchy", "healthcheck", "http://127.0.0.1:8222/healthz"]
ENTRYPOINT ["nats-server"]
CMD ["-c", "/etc/nats/server.conf"]

FROM bare AS prebuilt
COPY hierarchy /usr/local/bin/
COPY --chown=65532:65532 data /data

FROM bare-broker AS prebuilt-broker
COPY nats-server hierarchy /usr/local/bin/
COPY *.conf /etc/nats/
COPY --chown=65532:65532 data /data
VOLUME /data

FROM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir -p /image/data \
 && go build -trimpath -ldflags="-s -w" -o /image/hierarchy ./cmd/hierarchy \
 && go build -trimpath -ldflags="-s -w" -o /image/nats-server github.com/nats-io/nats-server/v2

FROM bare-broker AS broker
COPY --from=build /image/nats-server /image/hierarchy /usr/local/bin/
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /image/data /data
COPY deploy/nats/*.conf /etc/nats/
VOLUME /data

FROM bare AS hierarchy
COPY --from=build /image/hierarchy /usr/local/bin/
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /image/data /data
