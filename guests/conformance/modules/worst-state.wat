;; The slowest for its fuel of globals, tables and sizes, as `make worst` found it, for ever.
(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i64) (result i64)))
  (type (;3;) (func (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)))
  (type (;4;) (func (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)))
  (func (;0;) (type 0)
    (local i32 i32 i32 i32 i64 i64 i64 i64 f32 f32 f32 f32 f64 f64 f64 f64 v128 v128 v128 v128 i32 i32 i32 i32 i64 i64 i64 i64 i64)
    i32.const 7
    local.set 0
    i64.const -9223372036854775808
    local.set 4
    f32.const nan (;=nan;)
    local.set 8
    f64.const 0x1.c1814100c0804p-1024 (;=9.7674e-309;)
    local.set 12
    v128.const i32x4 0x00000001 0x00000000 0xffffffff 0x00efffff
    local.set 16
    i32.const -1
    local.set 1
    i64.const -1
    local.set 5
    f32.const 0x1.p-149 (;=1.4013e-45;)
    local.set 9
    f64.const 0x1.p-1074 (;=4.94066e-324;)
    local.set 13
    v128.const i32x4 0x00000001 0x00000000 0xffffffff 0x01efffff
    local.set 17
    i32.const 1
    local.set 2
    i64.const 1
    local.set 6
    f32.const 0x1p+0 (;=1;)
    local.set 10
    f64.const 0x1p+0 (;=1;)
    local.set 14
    v128.const i32x4 0x00000001 0x00000000 0xffffffff 0x02efffff
    local.set 18
    i32.const 2147483647
    local.set 3
    i64.const 9223372036854775807
    local.set 7
    f32.const 0x1.fffffep+127 (;=3.40282e+38;)
    local.set 11
    f64.const 0x1.fffffffffffffp+1023 (;=1.79769e+308;)
    local.set 15
    v128.const i32x4 0x00000001 0x00000000 0xffffffff 0x03efffff
    local.set 19
    i32.const 0
    i32.load
    local.set 20
    loop  ;; label = @1
      ref.func 1
      drop
      ref.func 1
      drop
      ref.func 1
      drop
      ref.func 1
      drop
      i32.const 0
      local.get 24
      i64.store
      i32.const 0
      local.get 25
      i64.store
      i32.const 0
      local.get 26
      i64.store
      i32.const 0
      local.get 27
      i64.store
      i32.const 0
      local.get 28
      i64.store
      br 0 (;@1;)
    end
    i32.const 1)
  (func (;1;) (type 1))
  (func (;2;) (type 2) (param i64) (result i64)
    local.get 0)
  (func (;3;) (type 3) (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 1
    local.get 2
    local.get 3
    local.get 4
    local.get 5
    local.get 6
    local.get 7
    local.get 8
    local.get 9
    local.get 10
    local.get 11
    local.get 12
    local.get 13
    local.get 14
    local.get 15
    local.get 0)
  (func (;4;) (type 4) (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 1
    local.get 2
    local.get 3
    local.get 4
    local.get 5
    local.get 6
    local.get 7
    local.get 8
    local.get 9
    local.get 10
    local.get 11
    local.get 12
    local.get 13
    local.get 14
    local.get 15
    local.get 16
    local.get 17
    local.get 18
    local.get 19
    local.get 20
    local.get 21
    local.get 22
    local.get 23
    local.get 24
    local.get 25
    local.get 26
    local.get 27
    local.get 28
    local.get 29
    local.get 30
    local.get 31
    local.get 32
    local.get 33
    local.get 34
    local.get 35
    local.get 36
    local.get 37
    local.get 38
    local.get 39
    local.get 40
    local.get 41
    local.get 42
    local.get 43
    local.get 44
    local.get 45
    local.get 46
    local.get 47
    local.get 48
    local.get 49
    local.get 50
    local.get 51
    local.get 52
    local.get 53
    local.get 54
    local.get 55
    local.get 56
    local.get 57
    local.get 58
    local.get 59
    local.get 60
    local.get 61
    local.get 62
    local.get 63
    local.get 64
    local.get 65
    local.get 66
    local.get 67
    local.get 68
    local.get 69
    local.get 70
    local.get 71
    local.get 72
    local.get 73
    local.get 74
    local.get 75
    local.get 76
    local.get 77
    local.get 78
    local.get 79
    local.get 80
    local.get 81
    local.get 82
    local.get 83
    local.get 84
    local.get 85
    local.get 86
    local.get 87
    local.get 88
    local.get 89
    local.get 90
    local.get 91
    local.get 92
    local.get 93
    local.get 94
    local.get 95
    local.get 96
    local.get 97
    local.get 98
    local.get 99
    local.get 100
    local.get 101
    local.get 102
    local.get 103
    local.get 104
    local.get 105
    local.get 106
    local.get 107
    local.get 108
    local.get 109
    local.get 110
    local.get 111
    local.get 112
    local.get 113
    local.get 114
    local.get 115
    local.get 116
    local.get 117
    local.get 118
    local.get 119
    local.get 120
    local.get 121
    local.get 122
    local.get 123
    local.get 124
    local.get 125
    local.get 126
    local.get 127
    local.get 0)
  (table (;0;) 10 funcref)
  (memory (;0;) 128)
  (global (;0;) (mut i64) (i64.const 0))
  (export "auditrelay_event" (func 0))
  (export "memory" (memory 0))
  (elem (;0;) (i32.const 0) func 1 2 3 4))
