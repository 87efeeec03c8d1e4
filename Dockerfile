# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, so that the Go command records the version in the binary.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/snapshot-mirror ./cmd/snapshot-mirror && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/snapshot-mirror /usr/local/bin/snapshot-mirror
# A number, so that Kubernetes can see that it is not root. The home folder is the only place that this user can write to.
USER 65532:65532
WORKDIR /home/nonroot
# The queue of serve: mount a volume here, or it goes with the container. A new named volume takes the owner from this folder.
COPY --from=build --chown=65532:65532 /out/data /data
ENV SNAPSHOT_MIRROR_DATA_DIR=/data
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/snapshot-mirror"]
