package meter

// bulkOperations are the instructions after the byte 0xfc.
var bulkOperations = [18]operation{
	0:  {name: "i32.trunc_sat_f32_s", signature: "f>i", weight: 8},
	1:  {name: "i32.trunc_sat_f32_u", signature: "f>i", weight: 8},
	2:  {name: "i32.trunc_sat_f64_s", signature: "d>i", weight: 8},
	3:  {name: "i32.trunc_sat_f64_u", signature: "d>i", weight: 8},
	4:  {name: "i64.trunc_sat_f32_s", signature: "f>l", weight: 8},
	5:  {name: "i64.trunc_sat_f32_u", signature: "f>l", weight: 8},
	6:  {name: "i64.trunc_sat_f64_s", signature: "d>l", weight: 8},
	7:  {name: "i64.trunc_sat_f64_u", signature: "d>l", weight: 8},
	8:  {name: "memory.init", signature: "iii>", immediate: immIndexZero, argument: 1, weight: 50},
	9:  {name: "data.drop", signature: ">", immediate: immIndex, weight: 4},
	10: {name: "memory.copy", signature: "iii>", immediate: immZero, argument: 2, weight: 50},
	11: {name: "memory.fill", signature: "iii>", immediate: immZero, argument: 1, weight: 50},
	12: {name: "table.init", signature: "iii>", immediate: immIndex2, weight: 50},
	13: {name: "elem.drop", signature: ">", immediate: immIndex, weight: 4},
	14: {name: "table.copy", signature: "iii>", immediate: immIndex2, weight: 50},
	15: {name: "table.grow", immediate: immIndex, weight: 200},
	16: {name: "table.size", immediate: immIndex, weight: 2},
	17: {name: "table.fill", immediate: immIndex, weight: 50},
}
