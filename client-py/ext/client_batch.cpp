#include "ext/client_batch.h"

#include "wire/task_spec.h"

namespace epochly::client {

namespace {

// What a function costs in a message beside its code: names, list entry, padding.
constexpr size_t FUNCTION_BYTES_EXTRA = 256;

void writeFunction(const Function& from, uint32_t id, schema::Function::Builder to) {
  to.setId(id);
  to.setHashHigh(from.hash.high);
  to.setHashLow(from.hash.low);
  to.setName(from.name);
  to.setCode(from.code);
  to.setPythonVersion(from.pythonVersion.value);
  if (from.module.size() > 0) to.setModule(from.module);
  auto hints = to.initHints();
  hints.setHasLoop(from.hasLoop);
  hints.setIsCoroutine(from.isCoroutine);
  hints.setWaits(from.waits);
}

void writeTask(const TaskSpec& from, uint32_t functionId, schema::Task::Builder to) {
  to.setSeq(from.entry->seq);
  to.setFunction(functionId);
  to.setLevel(from.level);
  to.setRetriesMax(from.retriesMax);
  to.setTimeoutMs(from.timeoutMs);
  to.setDataSize(from.dataSize);
  from.arguments.write(to.initArguments());
}

void writeWorkload(const Workload& from, uint32_t functionId, schema::FunctionWorkload::Builder to) {
  to.setFunction(functionId);
  auto workload = to.initWorkload();
  workload.setIoWaitRatio(from.ioWaitRatio);
  workload.setAvgLoopIterations(from.avgLoopIterations);
  workload.setAvgDataSize(from.avgDataSize);
  workload.setSamples(from.samples);
}

}  // namespace

uint32_t FunctionTable::takeId() {
  if (!freeIds.empty()) {
    auto id = freeIds.back();
    freeIds.pop_back();
    return id;
  }
  if (lastId < idsMax) return ++lastId;
  auto& oldest = rows.front();
  if (oldest.usedIn == message) return 0;
  auto id = oldest.id;
  byHash.erase(oldest.function->hash);
  rows.pop_front();
  return id;
}

uint32_t FunctionTable::idFor(const std::shared_ptr<const Function>& function, bool& isNew) {
  auto found = byHash.find(function->hash);
  isNew = found == byHash.end();
  if (!isNew) {
    rows.splice(rows.end(), rows, found->second);
    rows.back().usedIn = message;
    return rows.back().id;
  }
  auto id = takeId();
  if (id == 0) return 0;
  rows.push_back(Row{function, id, message, message});
  byHash.emplace(function->hash, std::prev(rows.end()));
  return id;
}

void FunctionTable::forgetMessage() {
  for (auto row = rows.begin(); row != rows.end();) {
    if (row->toldIn != message) {
      row++;
      continue;
    }
    freeIds.push_back(row->id);
    byHash.erase(row->function->hash);
    row = rows.erase(row);
  }
}

Plan planSubmission(const std::vector<TaskSpec>& batch, size_t tasksMax, FunctionTable& table) {
  Plan plan;
  table.begin();
  for (auto& spec : batch) {
    if (plan.tasks() >= tasksMax || plan.bytes >= BATCH_BYTES_TARGET) break;
    bool isNew;
    auto id = table.idFor(spec.function, isNew);
    if (id == 0) break;
    if (isNew) {
      plan.functions.push_back({spec.function, id});
      plan.bytes += spec.function->code.size() + FUNCTION_BYTES_EXTRA;
      // What follows would exceed what the scheduler reads as one message: the function goes ahead of its task.
      if (plan.bytes + spec.bytes() > PAYLOAD_BYTES_MAX) break;
    } else if (plan.tasks() > 0 && plan.bytes + spec.bytes() > PAYLOAD_BYTES_MAX) {
      break;
    }
    plan.functionIds.push_back(id);
    plan.taskBytes += spec.bytes();
    plan.bytes += spec.bytes();
  }
  return plan;
}

void writeSubmission(const std::vector<TaskSpec>& batch, const Plan& plan, schema::Submission::Builder submission) {
  auto functions = submission.initFunctions(plan.functions.size());
  for (auto i : kj::indices(plan.functions)) writeFunction(*plan.functions[i].function, plan.functions[i].id, functions[i]);
  auto tasks = submission.initTasks(plan.tasks());
  uint told = 0;
  for (auto i : kj::zeroTo(plan.tasks())) {
    writeTask(batch[i], plan.functionIds[i], tasks[i]);
    told += batch[i].workload != nullptr;
  }
  if (told == 0) return;
  auto workloads = submission.initWorkloads(told);
  uint next = 0;
  for (auto i : kj::zeroTo(plan.tasks())) {
    if (batch[i].workload != nullptr) writeWorkload(*batch[i].workload, plan.functionIds[i], workloads[next++]);
  }
}

}  // namespace epochly::client
