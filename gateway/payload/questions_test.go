package payload

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	typeJSON = "application/json"
	typeCSV  = "text/csv"
)

func schemaOf(columns ...string) *signature {
	return &signature{Inputs: json.RawMessage("[" + strings.Join(columns, ",") + "]")}
}

func columnJSON(name, kind string) string {
	return fmt.Sprintf(`{"type":%q,"name":%q,"required":true}`, kind, name)
}

func optionalJSON(name, kind string) string {
	return fmt.Sprintf(`{"type":%q,"name":%q,"required":false}`, kind, name)
}

func unnamedJSON(kind string) string { return fmt.Sprintf(`{"type":%q,"required":true}`, kind) }

func tensorJSON(name, dtype, shape string) string {
	if name == "" {
		return fmt.Sprintf(`{"type":"tensor","tensor-spec":{"dtype":%q,"shape":%s}}`, dtype, shape)
	}
	return fmt.Sprintf(`{"name":%q,"type":"tensor","tensor-spec":{"dtype":%q,"shape":%s}}`, name, dtype, shape)
}

var kindWords = []string{"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"}

// cellTexts are JSON values that a column of any type may be confronted with.
var cellTexts = []string{
	"0", "1", "-1", "2", "2.5", "-0", "-0.0", "1.0", "1e3", "0.1", "3000000000", "9007199254740993", "12345678901234567890",
	"123456789012345678901234567890", "1e400", "-1e-320", "5e-324", "1.7976931348623157e308", "0.30000000000000004", "16777217", "33554433",
	"true", "false", "null", "NaN", "Infinity", "-Infinity", `"1"`, `"1.5"`, `"x"`, `""`, `" 7 "`, `"1_000"`, `"nan"`, `"inf"`, `"True"`,
	`"aGVsbG8="`, `"aGVsbG8"`, `"aGV sbG8="`, `"\u00e9\ud83d\ude00\n\"\\"`, `"2020-01-01"`, `"2020-01-01T10:00:00"`, `"2020-01-01T10:00:00.123456789"`,
	`"2020-01-01T10:00:00Z"`, `"NaT"`, "[1]", "[]", "{}", `{"k":1}`, "1E5", "100000000000000000000000.5", "0.00001", "123456789.123456789",
}

// writtenQuestions are the cases that somebody thought of.
func writtenQuestions() []question {
	var qs []question
	ask := func(s *signature, contentType string, bodies ...string) {
		for _, b := range bodies {
			qs = append(qs, question{s, contentType, []byte(b)})
		}
	}
	for _, kind := range kindWords {
		s := schemaOf(columnJSON("a", kind))
		for _, cell := range cellTexts {
			ask(s, typeJSON,
				`{"dataframe_split":{"columns":["a"],"data":[[`+cell+`]]}}`, `{"dataframe_records":[{"a":`+cell+`}]}`,
				`{"inputs":{"a":[`+cell+`]}}`, `{"inputs":[{"a":`+cell+`}]}`, `{"instances":[{"a":`+cell+`}]}`, `{"inputs":{"a":`+cell+`}}`)
		}
	}
	two := schemaOf(columnJSON("a", "float"), columnJSON("b", "float"))
	ask(two, typeJSON, frameBodies...)
	ask(schemaOf(columnJSON("a", "double"), optionalJSON("b", "double")), typeJSON, frameBodies...)
	ask(schemaOf(unnamedJSON("double"), unnamedJSON("double")), typeJSON, frameBodies...)
	ask(schemaOf(unnamedJSON("long"), unnamedJSON("double")), typeJSON, `{"inputs":[[1,2],[3,4]]}`, `{"inputs":[[1,0],[3,1]]}`)
	ask(schemaOf(columnJSON("a", "long")), typeJSON, frameBodies...)
	ask(schemaOf(columnJSON("a", "string")), typeJSON, frameBodies...)
	ask(nil, typeJSON, frameBodies...)
	for _, s := range tensorSchemas {
		ask(s, typeJSON, frameBodies...)
		ask(s, typeJSON, tensorBodies...)
	}
	ask(nil, typeJSON, tensorBodies...)
	for _, contentType := range []string{
		"application/json; charset=utf-8", "application/json;charset=UTF-8", "application/json; charset=latin-1", "application/json; version=1",
		"Application/JSON", "application/json;", `application/json; charset="utf-8"`, "", "text/plain", "application/x-www-form-urlencoded",
		"application/json; charset=utf-8; x=y", " application/json ", "multipart/form-data; boundary=x", "text/csv; charset=utf-8",
	} {
		ask(schemaOf(columnJSON("a", "long")), contentType, `{"inputs":{"a":[1]}}`)
	}
	for _, kind := range kindWords {
		ask(schemaOf(columnJSON("a", kind)), typeCSV, csvBodies...)
	}
	ask(two, typeCSV, csvBodies...)
	ask(nil, typeCSV, csvBodies...)
	ask(schemaOf(columnJSON("a", "double")), typeCSV, randomDecimals())
	ask(schemaOf(unnamedJSON("double"), unnamedJSON("double")), typeCSV, csvBodies...)
	ask(tensorSchemas[0], typeCSV, "a,b\n1,2\n")
	params := &signature{
		Inputs: json.RawMessage("[" + columnJSON("a", "long") + "]"),
		Params: json.RawMessage(`[{"name":"n","type":"long","default":3,"shape":null},{"name":"t","type":"double","default":0.5,"shape":null},` +
			`{"name":"s","type":"string","default":"x","shape":null},{"name":"l","type":"long","default":[1],"shape":[-1]}]`),
	}
	for _, p := range []string{`{}`, `null`, `{"n":4}`, `{"n":4.5}`, `{"n":"4"}`, `{"t":1}`, `{"t":"1"}`, `{"s":5}`, `{"l":[1,2]}`, `{"l":5}`, `{"q":1}`, `[]`, `5`, `{"n":null}`} {
		ask(params, typeJSON, `{"inputs":{"a":[1]},"params":`+p+`}`, `{"params":`+p+`,"inputs":{"a":[1]}}`)
	}
	return qs
}

// randomDecimals is a CSV column of decimals of 17 digits.
func randomDecimals() string {
	r := rand.New(rand.NewPCG(3, 5))
	var b strings.Builder
	b.WriteString("a\n")
	for range 300 {
		fmt.Fprintf(&b, "%.17g\n", r.ExpFloat64()*1e5)
	}
	return b.String()
}

var tensorSchemas = []*signature{
	schemaOf(tensorJSON("", "float32", "[-1,2]")), schemaOf(tensorJSON("", "float64", "[-1]")), schemaOf(tensorJSON("", "uint8", "[-1]")),
	schemaOf(tensorJSON("", "bool", "[-1]")), schemaOf(tensorJSON("", "str", "[-1]")), schemaOf(tensorJSON("", "float32", "[-1,2,2]")),
	schemaOf(tensorJSON("", "int32", "[2,2]")), schemaOf(tensorJSON("", "float16", "[-1,2]")), schemaOf(tensorJSON("", "float32", "[-1,-1]")),
	schemaOf(tensorJSON("a", "float32", "[-1,2]"), tensorJSON("b", "int64", "[-1]")), schemaOf(tensorJSON("a", "float32", "[-1]")),
	schemaOf(tensorJSON("a", "int8", "[-1]"), tensorJSON("b", "float64", "[-1,1]")),
}

var frameBodies = []string{
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["b","a"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["b","x","a"],"data":[[1,"q",2]]}}`,
	`{"dataframe_split":{"columns":["b","x","a"],"data":[[1,9,2]],"index":[0]}}`,
	`{"dataframe_split":{"index":[0,1],"columns":["a","b"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"data":[[1,2]],"columns":["a","b"]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2,3]]}}`,
	`{"dataframe_split":{"columns":["a","a","b"],"data":[[1,2,3]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[1,2]}}`,
	`{"dataframe_split":{"columns":["a"],"data":[1,2]}}`,
	`{"dataframe_split":{"columns":["a"],"data":[1,[2]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":{"a":[1],"b":[2]}}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[{"a":1,"b":2}]}}`,
	`{"dataframe_split":{"data":[[1,2]]}}`, `{"dataframe_split":{"data":[1]}}`,
	`{"dataframe_split":{"columns":null,"index":null,"data":[[1,2]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":[0,1]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":5}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":["r"]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"extra":[7]}}`,
	`{"dataframe_split":{"columns":["a","b"]}}`, `{"dataframe_split":[]}`, `{"dataframe_split":{}}`, `{"dataframe_split":null}`,
	`{"dataframe_split":{"columns":"ab","data":[[1,2]]}}`, `{"dataframe_split":{"columns":[0,1],"data":[[1,2]]}}`,
	`{"dataframe_split":{"columns":["\u0061","b"],"data":[[1,2]]}}`,
	`{"dataframe_records":[{"a":1,"b":2},{"b":3,"a":4}]}`, `{"dataframe_records":[{"a":1,"b":2},{"a":4}]}`,
	`{"dataframe_records":[{"a":1,"b":2,"a":9}]}`, `{"dataframe_records":[]}`, `{"dataframe_records":[{}]}`, `{"dataframe_records":[[1,2]]}`,
	`{"dataframe_records":{"a":1}}`, `{"dataframe_records":[1]}`, `{"dataframe_records":[{"a":1},2]}`, `{"dataframe_records":[{"b":1,"a":2,"c":"x"}]}`,
	`{"inputs":{"a":[1,2],"b":[3]}}`, `{"inputs":{"a":[1,2],"b":3}}`, `{"inputs":{"a":1,"b":3}}`, `{"inputs":{"a":[1],"b":[3],"c":[1,2]}}`,
	`{"inputs":{"a":[1],"b":[3],"c":["x"]}}`, `{"inputs":{"a":[1],"b":[3],"c":[[1],[2,3]]}}`, `{"inputs":{"b":[1],"a":[3]}}`,
	`{"inputs":{"a":[[1,2]],"b":[[1,2]]}}`, `{"inputs":{"a":[[1],[2]],"b":[3,4]}}`, `{"inputs":{"a":[],"b":[]}}`, `{"inputs":{}}`,
	`{"inputs":[{"a":1,"b":2},{"a":3}]}`, `{"inputs":[{"a":0.1,"b":2},{"a":3,"b":4}]}`, `{"inputs":[{"a":1,"b":2},{"b":3,"a":4}]}`,
	`{"instances":[{"a":1,"b":2},{"a":3}]}`, `{"instances":[{"a":1,"b":2},{"b":3,"a":4}]}`, `{"instances":[{"a":1,"b":2,"c":5},{"a":1,"b":2}]}`,
	`{"instances":{"a":[1,2],"b":[3,4]}}`, `{"instances":{"a":[1,2],"b":[3]}}`, `{"instances":[[1,2],[3,4]]}`, `{"inputs":[[1,2],[3,4]]}`,
	`{"inputs":[1,2]}`, `{"inputs":[[1],[2]]}`, `{"inputs":1}`, `{"inputs":"x"}`, `{"inputs":null}`, `{"inputs":[]}`, `{"inputs":[1,{"a":2}]}`, `{"inputs":[{"a":1},2]}`,
	`{"inputs":["x","y"]}`, `{"inputs":{"a":"x"}}`, `{"inputs":{"a":["x","y"]}}`, `{"inputs":[true]}`, `{"instances":[1,2]}`, `{"instances":[]}`,
	`{"inputs":[1],"instances":[1]}`, `{"inputs":{"a":[1],"b":[1]},"inputs":{"a":[2],"b":[2]}}`, `{}`, `[]`, `5`, `"x"`, `null`, ``, ` `, `{`, `{"inputs":`, `{"inputs":[1,]}`, `{"inputs":[1]} x`,
	`{'inputs':[1]}`, `{"inputs":{"a":[01],"b":[1]}}`, `{"inputs":{"a":[1.],"b":[1]}}`, `{"inputs":{"a":[.5],"b":[1]}}`, `{"inputs":{"a":[+1],"b":[1]}}`, "{\"inputs\":{\"a\":[\"\x01\"]}}", "\xff",
	"\xef\xbb\xbf" + `{"inputs":{"a":[1],"b":[2]}}`, `{"inputs":{"a":[1],"b":[2]},"foo":3}`, `{"inputs":{"a":[1],"b":[2]},"prompt":"x"}`,
	`{"signature_name":"x","inputs":{"a":[1],"b":[2]}}`, `{"inputs":{"a":[1],"b":[2]},"params":{"x":1}}`, `{"messages":[]}`, `{"foo":1}`,
	`{"inputs":{"a":["\ud800"],"b":[1]}}`, "{ \"inputs\" :\n{ \"a\" : [ 1 ] ,\t\"b\" : [ 2 ] } }\r\n",
}

var tensorBodies = []string{
	`{"inputs":[[1,2],[3]]}`, `{"inputs":[[1,2,3]]}`, `{"inputs":{"a":[[1,2]]}}`, `{"inputs":[["1","2"]]}`, `{"inputs":[[null,true]]}`,
	`{"inputs":[[1.5,2.5],[3,4]]}`, `{"inputs":[[[1,2],[3,4]]]}`, `{"inputs":[[[1,2],[3,4]],[[5,6],[7,8]]]}`, `{"inputs":[300]}`, `{"inputs":[300.5]}`, `{"inputs":[-1]}`, `{"inputs":[-1.5]}`,
	`{"inputs":[2.7,true]}`, `{"inputs":[1e30]}`, `{"inputs":["7"]}`, `{"inputs":[1,0.5,true]}`, `{"inputs":[1,0.5,true,null,"x"]}`, `{"inputs":[70000.0,65519.9,65520,1e-8]}`,
	`{"inputs":[[70000.0,65519.9],[1e-8,0.1]]}`, `{"inputs":{"a":[[1,2]],"b":[3]}}`, `{"inputs":{"b":[3],"a":[[1,2]]}}`, `{"inputs":{"a":[[1,2]],"b":[3],"z":[1]}}`,
	`{"inputs":{"b":[3,4],"a":[[1,2]]}}`, `{"instances":{"b":[3,4],"a":[[1,2]]}}`, `{"instances":[{"a":[1,2],"b":3},{"b":4,"a":[5,6]}]}`,
	`{"inputs":[{"a":[1,2],"b":3}]}`, `{"dataframe_split":{"columns":["a","b"],"data":[[[1,2],3],[[4,5],6]]}}`, `{"dataframe_records":[{"a":[1,2],"b":3}]}`,
	`{"dataframe_split":{"columns":["p"],"data":[[[1,2]],[[3,4]]]}}`, `{"dataframe_split":{"columns":["p","q"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2,3]]}}`, `{"dataframe_split":{"columns":["p"],"data":[[1],[2]]}}`,
	`{"inputs":[[16777217,33554433],[9007199254740993,0.1]]}`, `{"inputs":[[],[]]}`, `{"inputs":[NaN,Infinity]}`, `{"inputs":{"a":[1,2,3]}}`, `{"inputs":{"a":[1,2],"b":[[1],[2]]}}`,
}

var csvBodies = []string{
	"a,b\n1,2\n3,\n", "b,a\n1,NA\n", "b\n1\n", "", "\n", "a,b\n", "a,b\n1,2,3\n", "a,b\n1\n", "a,b\nx,1\n", "a,b\n\"1\",\"2\"\n", "a,b\n 1 , 2\n",
	"a\n1\n", "a\n1.0\n", "a\n1.5\n", "a\n\n1\n", "a\nNA\n", "a\n99999999999999999999\n", "a,a\n1,2\n", "a\n\"1,5\"\n", "a\nTrue\nfalse\nTRUE\n", "a\n0\n1\n",
	"a\n3000000000\n", "a\n2020-01-01\n", "a\naGVsbG8=\n", "a\nx\n\"q\"\"q\"\n\"l1\nl2\"\n", "a\n\"\"\n", "a,b\r\n1,2\r\n", "a,b\n1,2", "\xef\xbb\xbfa,b\n1,2\n",
	"a,b\n1,inf\n-Infinity,1e5\n", "a,b\n1_0,1\n", "a,b\n0x10,1\n", "a,b\n0.1,0.2\n", "\"a\",\"b\"\n1,2\n", "a,b\n1,2\n\n3,4\n", "a,b\n\"1,2\n", "a,b,c\n1,2,x\n",
	"a,b,c,d\n1,1.5,x,True\n2,,y,False\n", "a\n1\nx\n", "a\nTrue\n\n", "a\nx\nNA\n", "a\n-5\n+7\n", "a,b\n1e3,1E-3\n", "a\nnan\nNULL\n<NA>\n#N/A\nNone\nn/a\n", "a,b\nnull,1\n", "\xff\xfe",
}

// generatedQuestions are frames of random columns, cells and shapes, the same ones every time.
func generatedQuestions(n int) []question {
	r := rand.New(rand.NewPCG(7, 11))
	qs := make([]question, n)
	for i := range qs {
		qs[i] = generate(r)
	}
	return qs
}

func generate(r *rand.Rand) question {
	columns := 1 + r.IntN(4)
	kinds, specs := make([]string, columns), make([]string, columns)
	for c := range columns {
		kinds[c] = kindWords[r.IntN(len(kindWords))]
		specs[c] = columnJSON(string(rune('a'+c)), kinds[c])
		if r.IntN(5) == 0 {
			specs[c] = optionalJSON(string(rune('a'+c)), kinds[c])
		}
	}
	rows := r.IntN(4)
	cells := make([][]string, rows)
	for i := range cells {
		for c := range columns {
			cells[i] = append(cells[i], randomCell(r, kinds[c]))
		}
	}
	sig := schemaOf(specs...)
	if r.IntN(12) == 0 {
		sig = nil
	}
	return question{sig, typeJSON, []byte(randomBody(r, columns, cells))}
}

// randomCell is mostly a value that the kind takes.
func randomCell(r *rand.Rand, kind string) string {
	if r.IntN(12) == 0 {
		return cellTexts[r.IntN(len(cellTexts))]
	}
	switch kind {
	case "boolean":
		return []string{"true", "false"}[r.IntN(2)]
	case "integer", "long":
		return fmt.Sprint(r.IntN(2000) - 1000)
	case "string":
		return []string{`"x"`, `"\u00e9"`, `"a\"b"`, `"12"`}[r.IntN(4)]
	case "binary":
		return `"aGVsbG8="`
	case "datetime":
		return `"2021-02-03T04:05:06"`
	}
	switch r.IntN(5) {
	case 0:
		return "null"
	case 1:
		return fmt.Sprint(r.IntN(100))
	case 2:
		return fmt.Sprint(r.NormFloat64())
	}
	return fmt.Sprintf("%.3f", r.NormFloat64()*100)
}

func randomBody(r *rand.Rand, columns int, cells [][]string) string {
	order := r.Perm(columns)
	if r.IntN(10) == 0 {
		order = order[:columns-1]
	}
	name := func(c int) string { return fmt.Sprintf("%q", string(rune('a'+c))) }
	var parts []string
	switch r.IntN(4) {
	case 0:
		var names []string
		for _, c := range order {
			names = append(names, name(c))
		}
		for _, row := range cells {
			var values []string
			for _, c := range order {
				values = append(values, row[c])
			}
			parts = append(parts, "["+strings.Join(values, ", ")+"]")
		}
		return `{"dataframe_split": {"columns": [` + strings.Join(names, ",") + `], "data": [` + strings.Join(parts, ",") + `]}}`
	case 1:
		for _, c := range order {
			var values []string
			for _, row := range cells {
				values = append(values, row[c])
			}
			parts = append(parts, name(c)+": ["+strings.Join(values, ",")+"]")
		}
		return `{"inputs": {` + strings.Join(parts, ", ") + `}}`
	}
	for _, row := range cells {
		var values []string
		for _, c := range order {
			values = append(values, name(c)+":"+row[c])
		}
		parts = append(parts, "{"+strings.Join(values, ",")+"}")
	}
	field := []string{"dataframe_records", "instances", "inputs"}[r.IntN(3)]
	return `{"` + field + `":[` + strings.Join(parts, ", ") + `]}`
}
