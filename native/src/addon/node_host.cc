// Node's functions are imported from "node.exe", which a program with Node in it (Electron, a
// single executable) is not called. The import waits until the first call and then takes this
// program.
#ifdef _WIN32
#include <windows.h>

// delayimp.h needs the types of windows.h
#include <delayimp.h>

#include <cstring>

namespace {

FARPROC WINAPI take_this_program(unsigned event, DelayLoadInfo* import) {
  if (event != dliNotePreLoadLibrary || _stricmp(import->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(GetModuleHandleW(nullptr));
}

}  // namespace

PfnDliHook __pfnDliNotifyHook2 = take_this_program;  // declared extern "C" by delayimp.h
#endif
