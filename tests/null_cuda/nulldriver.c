#include <string.h>
#define OK(n) \
    int n() { return 0; }
int cuDevicePrimaryCtxGetState(int d, unsigned* f, int* a) {
    if (f) *f = 0;
    *a = 1;
    return 0;
}
int cuCtxGetCurrent(void** c) {
    *c = (void*)0x50;
    return 0;
}
int cuDeviceGet(int* d, int o) {
    *d = o;
    return 0;
}
int cuDeviceGetAttribute(int* v, int a, int d) {
    *v = 1;
    return 0;
}
int cuDevicePrimaryCtxRetain(void** c, int d) {
    *c = (void*)0x50;
    return 0;
}
int cuGetErrorString(int e, const char** s) {
    *s = "null driver";
    return 0;
}
int cuPointerGetAttribute(void* v, int a, void* p) { return 1; }
OK(cuCtxSetCurrent)
OK(cuFuncGetAttribute) OK(cuFuncSetAttribute) OK(cuFuncSetCacheConfig) OK(cuLaunchCooperativeKernel) OK(cuLaunchKernel)
    OK(cuLinkAddData_v2) OK(cuLinkComplete) OK(cuLinkCreate_v2) OK(cuModuleGetFunction) OK(cuModuleLoad)
        OK(cuModuleLoadData) OK(cuModuleLoadDataEx) OK(cuModuleUnload) OK(cuOccupancyMaxActiveBlocksPerMultiprocessor)
            OK(cuTensorMapEncodeTiled)
