# syntax=docker/dockerfile:1
# The tags say which version; for builds that are to be the same to the byte, add the digests that your registry shows.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, so that the Go command records the version in the binary.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/snapshot-mirror ./cmd/snapshot-mirror && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/snapshot-mirror /usr/local/bin/snapshot-mirror
# The queue of serve, and what is named without a folder: mount a volume here, or it goes with the container. A new named volume
# takes the owner from this folder. Nothing is written anywhere else, so that the rest can be mounted read-only.
COPY --from=build --chown=65532:65532 /out/data /data
WORKDIR /data
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENV SNAPSHOT_MIRROR_DATA_DIR=/data
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/snapshot-mirror"]
