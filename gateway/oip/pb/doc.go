// Package pb holds the messages and calls of the Open Inference Protocol over gRPC as generated from inference.proto.
//
// It owns no code by hand. It is imported by oip, whose small calls answer with these messages, and by its tests, which use the client;
// it must not know what answers. Predictions are not read into these messages: payload reads and writes their bytes in place.
package pb
