module github.com/testcontainers/testcontainers-go

go 1.26

require (
	github.com/EventStore/EventStore-Client-Go/v4 v4.2.0
	github.com/docker/go-connections v0.5.0
)
