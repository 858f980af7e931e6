// A CUDA runtime without a GPU: every call succeeds, kernels do nothing, device memory is host memory.
// It counts launches (by kernel), copies, allocations and everything that waits for the device.
#include <sys/mman.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_runtime_api.h"
#define API extern "C" __attribute__((visibility("default")))
static std::mutex& mu() {
    static std::mutex* m = new std::mutex;
    return *m;
}
static std::unordered_map<const void*, const char*>& names() {
    static auto* m = new std::unordered_map<const void*, const char*>;
    return *m;
}
static std::unordered_map<std::string, long>& counts() {
    static auto* m = new std::unordered_map<std::string, long>;
    return *m;
}
struct Block {
    size_t size;
    int kind;
};  // 1 host, 2 device
static std::map<char*, Block>& blocks() {
    static auto* m = new std::map<char*, Block>;
    return *m;
}
static std::atomic<size_t> in_use{0}, peak{0};
static const size_t TOTAL = 85ull << 30;
static std::atomic<bool> capturing{false};
static std::atomic<bool> broken{false};
static std::atomic<bool> listing{false};
static void count(const std::string& key, long by = 1) {
    std::lock_guard<std::mutex> g(mu());
    counts()[key] += by;
}
static Block find(const void* p) {
    std::lock_guard<std::mutex> g(mu());
    auto& b = blocks();
    auto it = b.upper_bound((char*)p);
    if (it == b.begin()) return {0, 0};
    --it;
    if ((char*)p < it->first + it->second.size) return it->second;
    return {0, 0};
}
static cudaError_t waits(const char* what) {
    count(std::string("wait:") + what);
    if (capturing) {
        broken = true;
        count("capture:broken by " + std::string(what));
        return cudaErrorStreamCaptureUnsupported;
    }
    return cudaSuccess;
}
API void nullcuda_reset() {
    std::lock_guard<std::mutex> g(mu());
    counts().clear();
}
API void nullcuda_count(const char* key, long by) { count(key, by); }
API void nullcuda_dump(const char* path) {
    std::lock_guard<std::mutex> g(mu());
    FILE* f = fopen(path, "w");
    for (auto& kv : counts()) fprintf(f, "%ld\t%s\n", kv.second, kv.first.c_str());
    fclose(f);
}
API size_t nullcuda_peak() { return peak; }
// ---- device
API cudaError_t cudaGetDeviceCount(int* n) {
    const char* e = getenv("NULLCUDA_DEVICES");
    *n = e ? atoi(e) : 1;
    return cudaSuccess;
}
static thread_local int dev = 0;
API cudaError_t cudaGetDevice(int* d) {
    *d = dev;
    return cudaSuccess;
}
API cudaError_t cudaSetDevice(int d) {
    dev = d;
    return cudaSuccess;
}
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    strcpy(p->name, "NVIDIA H100 80GB HBM3 (null)");
    p->major = 9;
    p->minor = 0;
    p->multiProcessorCount = 132;
    p->totalGlobalMem = TOTAL;
    p->sharedMemPerBlock = 49152;
    p->sharedMemPerBlockOptin = 232448;
    p->sharedMemPerMultiprocessor = 233472;
    p->regsPerBlock = 65536;
    p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->l2CacheSize = 50 << 20;
    p->unifiedAddressing = 1;
    p->concurrentKernels = 1;
    p->memoryBusWidth = 5120;
    p->textureAlignment = 512;
    p->cooperativeLaunch = 1;
    p->canMapHostMemory = 1;
    p->maxBlocksPerMultiProcessor = 32;
    p->ECCEnabled = 1;
    p->asyncEngineCount = 3;
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) {
    switch (a) {
        case cudaDevAttrComputeCapabilityMajor:
            *v = 9;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *v = 0;
            break;
        case cudaDevAttrMultiProcessorCount:
            *v = 132;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *v = 232448;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *v = 49152;
            break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            *v = 233472;
            break;
        case cudaDevAttrMaxThreadsPerBlock:
            *v = 1024;
            break;
        case cudaDevAttrMaxThreadsPerMultiProcessor:
            *v = 2048;
            break;
        case cudaDevAttrWarpSize:
            *v = 32;
            break;
        case cudaDevAttrMaxGridDimX:
            *v = 2147483647;
            break;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ:
            *v = 65535;
            break;
        case cudaDevAttrMaxBlockDimX:
        case cudaDevAttrMaxBlockDimY:
            *v = 1024;
            break;
        case cudaDevAttrMaxBlockDimZ:
            *v = 64;
            break;
        case cudaDevAttrMaxRegistersPerBlock:
        case cudaDevAttrMaxRegistersPerMultiprocessor:
            *v = 65536;
            break;
        case cudaDevAttrL2CacheSize:
            *v = 50 << 20;
            break;
        case cudaDevAttrClockRate:
            *v = 1980000;
            break;
        case cudaDevAttrMaxBlocksPerMultiprocessor:
            *v = 32;
            break;
        default:
            *v = 1;
    }
    return cudaSuccess;
}
API cudaError_t cudaDeviceSynchronize() { return waits("device synchronize"); }
API cudaError_t cudaDeviceCanAccessPeer(int* v, int, int) {
    *v = 0;
    return cudaSuccess;
}
API cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
API cudaError_t cudaDeviceGetPCIBusId(char* s, int n, int) {
    snprintf(s, n, "0000:00:1f.0");
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetStreamPriorityRange(int* a, int* b) {
    if (a) *a = 0;
    if (b) *b = -5;
    return cudaSuccess;
}
API cudaError_t cudaDriverGetVersion(int* v) {
    *v = 13000;
    return cudaSuccess;
}
API cudaError_t cudaRuntimeGetVersion(int* v) {
    *v = 13000;
    return cudaSuccess;
}
API cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
    *t = TOTAL;
    *f = TOTAL - in_use;
    return cudaSuccess;
}
API cudaError_t cudaGetLastError() { return cudaSuccess; }
API cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
API cudaError_t cudaProfilerStart() { return cudaSuccess; }
API cudaError_t cudaProfilerStop() { return cudaSuccess; }
// ---- events and streams
struct Event {
    timespec t;
};
API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
    *e = (cudaEvent_t)calloc(1, sizeof(Event));
    return cudaSuccess;
}
API cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t e) {
    free(e);
    return cudaSuccess;
}
API cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
    clock_gettime(CLOCK_MONOTONIC, &((Event*)e)->t);
    count("event record");
    return cudaSuccess;
}
API cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) { return cudaEventRecord(e, s); }
API cudaError_t cudaEventSynchronize(cudaEvent_t) { return waits("event synchronize"); }
API cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t a, cudaEvent_t b) {
    Event *x = (Event*)a, *y = (Event*)b;
    *ms = (y->t.tv_sec - x->t.tv_sec) * 1e3f + (y->t.tv_nsec - x->t.tv_nsec) * 1e-6f;
    return cudaSuccess;
}
API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned, int) {
    *s = (cudaStream_t)calloc(1, 64);
    return cudaSuccess;
}
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
    *s = (cudaStream_t)calloc(1, 64);
    return cudaSuccess;
}
API cudaError_t cudaStreamCreate(cudaStream_t* s) {
    *s = (cudaStream_t)calloc(1, 64);
    return cudaSuccess;
}
API cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
API cudaError_t cudaStreamGetPriority(cudaStream_t, int* p) {
    *p = 0;
    return cudaSuccess;
}
API cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
API cudaError_t cudaStreamSynchronize(cudaStream_t) { return waits("stream synchronize"); }
API cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
    count("stream wait event");
    return cudaSuccess;
}
API cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void* d, unsigned) {
    f(s, cudaSuccess, d);
    return cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t f, void* d) {
    f(d);
    return cudaSuccess;
}
API cudaError_t cudaStreamIsCapturing(cudaStream_t, enum cudaStreamCaptureStatus* s) {
    *s = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, enum cudaStreamCaptureStatus* s, unsigned long long* id,
                                         cudaGraph_t* g, const cudaGraphNode_t** d, const cudaGraphEdgeData** e,
                                         size_t* n) {
    *s = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    if (id) *id = 7;
    if (g) *g = (cudaGraph_t)0x10;
    if (d) *d = nullptr;
    if (e) *e = nullptr;
    if (n) *n = 0;
    return cudaSuccess;
}
API cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t, cudaGraphNode_t*, const cudaGraphEdgeData*, size_t,
                                                    unsigned) {
    return cudaSuccess;
}
API cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode*) { return cudaSuccess; }
API cudaError_t cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode) {
    capturing = true;
    broken = false;
    return cudaSuccess;
}
API cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t, cudaGraph_t, const cudaGraphNode_t*,
                                              const cudaGraphEdgeData*, size_t, enum cudaStreamCaptureMode) {
    capturing = true;
    broken = false;
    return cudaSuccess;
}
API cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* g) {
    capturing = false;
    *g = (cudaGraph_t)0x10;
    return broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* x, cudaGraph_t, unsigned long long) {
    *x = (cudaGraphExec_t)0x20;
    return cudaSuccess;
}
API cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
    count("graph launch");
    return cudaSuccess;
}
API cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
API cudaError_t cudaGraphGetNodes(cudaGraph_t, cudaGraphNode_t*, size_t* n) {
    *n = 1;
    return cudaSuccess;
}
API cudaError_t cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t, unsigned, unsigned) { return cudaSuccess; }
API cudaError_t cudaUserObjectCreate(cudaUserObject_t* o, void*, cudaHostFn_t, unsigned, unsigned) {
    *o = (cudaUserObject_t)0x30;
    return cudaSuccess;
}
API cudaError_t cudaUserObjectRelease(cudaUserObject_t, unsigned) { return cudaSuccess; }
// ---- memory
static cudaError_t take(void** p, size_t n, int kind) {
    n = n ? n : 1;
    if (kind == 2 && in_use + n > TOTAL) {
        *p = nullptr;
        return cudaErrorMemoryAllocation;
    }
    size_t m = (n + 4095) & ~size_t(4095);
    void* q = mmap(nullptr, m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (q == MAP_FAILED) {
        *p = nullptr;
        return cudaErrorMemoryAllocation;
    }
    {
        std::lock_guard<std::mutex> g(mu());
        blocks()[(char*)q] = {m, kind};
    }
    if (kind == 2) {
        in_use += m;
        if (in_use > peak) peak = in_use.load();
    }
    *p = q;
    return cudaSuccess;
}
static cudaError_t give(void* p) {
    if (!p) return cudaSuccess;
    Block b{0, 0};
    {
        std::lock_guard<std::mutex> g(mu());
        auto it = blocks().find((char*)p);
        if (it == blocks().end()) return cudaSuccess;
        b = it->second;
        blocks().erase(it);
    }
    munmap(p, b.size);
    if (b.kind == 2) in_use -= b.size;
    return cudaSuccess;
}
API cudaError_t cudaMalloc(void** p, size_t n) {
    count("cudaMalloc");
    return take(p, n, 2);
}
API cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) { return take(p, n, 2); }
API cudaError_t cudaFree(void* p) {
    if (p) {
        waits("cudaFree");
    }
    return give(p);
}
API cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return give(p); }
API cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) {
    count("cudaHostAlloc");
    return take(p, n, 1);
}
API cudaError_t cudaFreeHost(void* p) { return give(p); }
API cudaError_t cudaHostRegister(void* p, size_t n, unsigned) {
    std::lock_guard<std::mutex> g(mu());
    blocks()[(char*)p] = {n, 1};
    return cudaSuccess;
}
API cudaError_t cudaHostUnregister(void* p) {
    std::lock_guard<std::mutex> g(mu());
    blocks().erase((char*)p);
    return cudaSuccess;
}
API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
    memset(a, 0, sizeof *a);
    Block b = find(p);
    a->type = b.kind == 2 ? cudaMemoryTypeDevice : b.kind == 1 ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    if (b.kind) {
        a->devicePointer = (void*)p;
    }
    if (b.kind == 1) a->hostPointer = (void*)p;
    return cudaSuccess;
}
static void copied(const void* d, const void* s, size_t n, const char* how) {
    int kd = find(d).kind, ks = find(s).kind;
    const char* names[] = {"pageable", "pinned", "device"};
    char key[128];
    snprintf(key, sizeof key, "copy:%s %s->%s", how, names[ks], names[kd]);
    count(key);
    count(std::string("bytes:") + key, n);
}
static void move(void* d, const void* s, size_t n) {
    if (find(d).kind == 2 && find(s).kind == 2 && n > (1 << 16))
        return;  // kernels do nothing, so there is nothing to move
    memcpy(d, s, n);
}
API cudaError_t cudaMemcpy(void* d, const void* s, size_t n, enum cudaMemcpyKind) {
    copied(d, s, n, "sync");
    move(d, s, n);
    return waits("cudaMemcpy");
}
API cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, enum cudaMemcpyKind, cudaStream_t) {
    copied(d, s, n, "async");
    if (capturing && (find(d).kind == 0 || find(s).kind == 0)) {
        broken = true;
        count("capture:broken by pageable copy");
        return cudaErrorStreamCaptureUnsupported;
    }
    move(d, s, n);
    return cudaSuccess;
}
API cudaError_t cudaMemcpyPeerAsync(void* d, int, const void* s, int, size_t n, cudaStream_t) {
    copied(d, s, n, "peer");
    move(d, s, n);
    return cudaSuccess;
}
API cudaError_t cudaMemcpyToSymbol(const void*, const void*, size_t, size_t, enum cudaMemcpyKind) {
    return cudaSuccess;
}
API cudaError_t cudaMemset(void* d, int v, size_t n) {
    count("memset");
    if (n <= (1 << 16)) memset(d, v, n);
    return cudaSuccess;
}
API cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t) {
    count("memset");
    if (n <= (1 << 16)) memset(d, v, n);
    return cudaSuccess;
}
API cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
    *p = (cudaMemPool_t)0x40;
    return cudaSuccess;
}
API cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void*) { return cudaSuccess; }
API cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void* v) {
    memset(v, 0, 8);
    return cudaSuccess;
}
API cudaError_t cudaMemPoolSetAccess(cudaMemPool_t, const cudaMemAccessDesc*, size_t) { return cudaSuccess; }
API cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
API cudaError_t cudaGetSymbolAddress(void** p, const void*) {
    static char buffer[1 << 20];
    *p = buffer;
    return cudaSuccess;
}
// ---- kernels
API void** __cudaRegisterFatBinary(void*) {
    static void* handle[4];
    return handle;
}
API void __cudaRegisterFatBinaryEnd(void**) {}
API void __cudaUnregisterFatBinary(void**) {}
API void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
API void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*, void*, void*,
                                int*) {
    std::lock_guard<std::mutex> g(mu());
    names()[host] = name;
}
struct Config {
    dim3 grid, block;
    size_t shared;
    void* stream;
};
static thread_local std::vector<Config> configs;
API unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, void* st) {
    configs.push_back({g, b, s, st});
    return 0;
}
API cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) {
    if (configs.empty()) return cudaErrorInvalidConfiguration;
    Config c = configs.back();
    configs.pop_back();
    *g = c.grid;
    *b = c.block;
    *s = c.shared;
    *(void**)st = c.stream;
    return cudaSuccess;
}
static cudaError_t launched(const void* f, dim3 g, dim3 b) {
    std::lock_guard<std::mutex> lock(mu());
    auto it = names().find(f);
    counts()[std::string("kernel:") + (it == names().end() ? "?" : it->second)]++;
    counts()["launches"]++;
    if (g.x == 0 || g.y == 0 || g.z == 0 || g.y > 65535 || g.z > 65535 || (size_t)b.x * b.y * b.z > 1024) {
        counts()["BAD GRID"]++;
        return cudaErrorInvalidConfiguration;
    }
    return cudaSuccess;
}
API cudaError_t cudaLaunchKernel(const void* f, dim3 g, dim3 b, void**, size_t, cudaStream_t) {
    return launched(f, g, b);
}
API cudaError_t __cudaLaunchKernel(cudaKernel_t f, dim3 g, dim3 b, void**, size_t, cudaStream_t) {
    return launched((const void*)f, g, b);
}
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void**) {
    return launched(f, c->gridDim, c->blockDim);
}
API cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
    *k = (cudaKernel_t)f;
    return cudaSuccess;
}
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = 1024;
    a->numRegs = 32;
    a->ptxVersion = 90;
    a->binaryVersion = 90;
    a->maxDynamicSharedSizeBytes = 49152;
    return cudaSuccess;
}
API cudaError_t cudaFuncSetAttribute(const void*, enum cudaFuncAttribute, int) { return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) {
    *n = 2;
    return cudaSuccess;
}
// ---- cuBLAS: all handles are dummies, every product is one launch
#define OK(name) \
    API int name() { return 0; }
API int cublasCreate_v2(void** h) {
    *h = calloc(1, 64);
    return 0;
}
OK(cublasDestroy_v2)
OK(cublasSetStream_v2) OK(cublasSetWorkspace_v2) OK(cublasSetMathMode) OK(cublasSetPointerMode_v2)
    OK(cublasSetSmCountTarget) API int cublasGetMathMode(void*, int* m) {
    *m = 0;
    return 0;
}
API int cublasGetPointerMode_v2(void*, int* m) {
    *m = 0;
    return 0;
}
static int product(const char* n) {
    count(std::string("kernel:gemm ") + n);
    count("launches");
    count("gemms");
    return 0;
}
#define GEMM(name) \
    API int name() { return product(#name); }
GEMM(cublasSgemm_v2)
GEMM(cublasDgemm_v2) GEMM(cublasGemmEx) GEMM(cublasGemmStridedBatchedEx) GEMM(cublasSgemmStridedBatched)
    GEMM(cublasDgemmStridedBatched) GEMM(cublasSgemmEx) GEMM(cublasSgemv_v2) GEMM(cublasDgemv_v2) GEMM(cublasSdot_v2)
        GEMM(cublasDdot_v2) GEMM(cublasDotEx) API size_t cublasLtGetVersion() {
    return 130100;
}
API int cublasLtMatmulDescCreate(void** d, int, int) {
    *d = calloc(1, 256);
    return 0;
}
API int cublasLtMatmulDescDestroy(void* d) {
    free(d);
    return 0;
}
OK(cublasLtMatmulDescSetAttribute)
API int cublasLtMatrixLayoutCreate(void** d, int, unsigned long, unsigned long, long) {
    *d = calloc(1, 256);
    return 0;
}
API int cublasLtMatrixLayoutDestroy(void* d) {
    free(d);
    return 0;
}
OK(cublasLtMatrixLayoutSetAttribute)
API int cublasLtMatmulPreferenceCreate(void** d) {
    *d = calloc(1, 256);
    return 0;
}
API int cublasLtMatmulPreferenceDestroy(void* d) {
    free(d);
    return 0;
}
OK(cublasLtMatmulPreferenceSetAttribute)
struct LtResult {
    unsigned long algo[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
API int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, LtResult* r, int* n) {
    memset(r, 0, sizeof *r);
    *n = 1;
    return 0;
}
OK(cublasLtMatmulAlgoCheck) OK(cublasLtMatmulAlgoInit) GEMM(cublasLtMatmul)
