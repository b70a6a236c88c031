#include "ext/jit/team_library.h"
#include "levels/multicore/team.h"

extern "C" __attribute__((visibility("default"))) const epochly::ext::jit::TeamLibrary epochly_multicore;

const epochly::ext::jit::TeamLibrary epochly_multicore = {epochly::multicore::team, epochly::multicore::cores,
                                                          epochly::multicore::setCores, epochly::multicore::whyAlone};
