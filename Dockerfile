# A release image: without the developer's tools (`--no-default-features`); the build refuses drafts.
FROM rust:1-slim-bookworm AS build
# `--build-arg FEATURES=otel` for traces and metrics.
ARG FEATURES=""
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features --features "$FEATURES" && \
    find target/release -maxdepth 1 -type f -executable -exec cp {} /app \;

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /app /usr/local/bin/app
# What must outlive a process: the container keeps it at a restart.
RUN install -d -o nobody -g nogroup -m 0700 /var/lib/app
ENV STATE_DIRECTORY=/var/lib/app
USER nobody
ENTRYPOINT ["app"]
CMD ["serve"]
