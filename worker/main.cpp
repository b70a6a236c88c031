// epochly-worker.
#include <kj/vector.h>

#include "daemon/worker_daemon.h"

int main(int argc, char** argv) {
  kj::Vector<kj::StringPtr> args;
  for (int i = 1; i < argc; i++) args.add(argv[i]);
  return epochly::worker::runProgram(args);
}
