from protos.telemetry.v1.telemetry_pb2 import *
