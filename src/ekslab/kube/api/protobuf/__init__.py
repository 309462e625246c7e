"""The protobuf serializer of the API: `application/vnd.kubernetes.protobuf` to and from objects."""
