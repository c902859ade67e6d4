package ledger

// The events. Each decides how thing, means and the standing accounts become debit and credit.
//
//	event      debit        credit
//	buy        thing        means
//	credit     thing        payable       bought, not paid yet
//	refund     means        thing         the supplier gives money back
//	sell       means        thing
//	invoice    receivable   thing         sold, not paid yet
//	return     thing        means         we give a customer money back
//	collect    means        receivable    a customer pays what was open
//	settle     payable      means         we pay what was open
//	borrow     means        loan          party is the lender
//	repay      loan         means
var events = []string{"buy", "buy", "buy", "credit", "refund", "sell", "sell", "invoice", "return", "collect", "settle", "borrow", "repay"}

// A frame is a sentence with marks: {d} the day that counts, {p} the party, {t} the thing, {a} the amount, {m} the means.
// Distractors: {o} another date, {r} a reference number, {w} a colleague, {c} a carrier, {q} a small count.
var englishFrames = map[string][]string{
	"buy": {
		"{d}: paid {p} {a} for {t}, {m}.",
		"Bought {t} from {p} on {d} and paid {a} {m}.",
		"On {d} we paid {a} {m} to {p} for {t}.",
		"{t} from {p}, {a}, paid {m} on {d}.",
		"Invoice {r} of {o} from {p} for {t}: {a}, paid {m} on {d}.",
		"{w} paid {p} {m} for {t} on {d}: {a}.",
		"{p} charged us {a} for {t}; paid {m} {d}, order {r}.",
		"Ordered {o}, picked up and paid {m} on {d}: {t} at {p}, {a}.",
		"{m}: {a} to {p} for {t}, {d}.",
	},
	"credit": {
		"{p} delivered {t} on {d} for {a}, to be paid later.",
		"Received invoice {r} from {p} on {d} for {t}, {a}, due {o}.",
		"{d}: bought {t} on account from {p}, {a}, not paid yet.",
		"{t} from {p}, booked {d} on credit, {a}, payment due {o}.",
		"On {d} {p} billed us {a} for {t}; we still owe it.",
		"{w} ordered {t} at {p}; the bill of {d} over {a} is open until {o}.",
	},
	"refund": {
		"{p} refunded {a} for {t} {m} on {d}.",
		"{d}: got {a} back from {p} for {t}, {m}.",
		"We returned {t} to {p}; {a} came back {m} on {d}.",
		"Refund from supplier {p}, {t}, {a}, received {m} {d}, ref {r}.",
		"{t} bought on {o} was faulty, {p} paid back {a} {m} on {d}.",
	},
	"sell": {
		"Sold {t} to {p} on {d} for {a}, paid {m}.",
		"{d}: {p} bought {t} and paid us {a} {m}.",
		"{p} paid us {a} {m} for {t} on {d}.",
		"Cash desk {d}: {t} for {p}, {a}, received {m}.",
		"Order {r}: {t} sold to {p}, {a} received {m} on {d}, shipped by {c} on {o}.",
		"On {d} we were paid {a} {m} by {p} for {t} sold by {w}.",
		"Customer {p} took {t} for {a} and paid {m}, {d}.",
	},
	"invoice": {
		"Invoiced {p} {a} for {t} on {d}, payable by {o}.",
		"{d}: sent invoice {r} to {p} for {t}, {a}.",
		"Sold {t} to {p} on account on {d}: {a}, due {o}.",
		"We billed {p} on {d} for {t}, {a}; they have not paid yet.",
		"{t} delivered to {p} by {c}; our invoice of {d} over {a} is open.",
	},
	"return": {
		"We refunded {p} {a} {m} for {t} on {d}.",
		"{d}: customer {p} sent back {t}; we paid back {a} {m}.",
		"Gave {p} {a} back {m} on {d} for {t} sold on {o}.",
		"{p} complained about {t}, {a} returned to them {m} on {d}, ref {r}.",
		"Credit note {r} to {p} for {t}: {a} paid out {m} {d}.",
	},
	"collect": {
		"{p} settled our open invoice {r}, {a}, {m} on {d}.",
		"{d}: received {a} {m} from {p} for invoice {r} of {o}.",
		"{a} came in {m} from {p} on {d} for what they owed us.",
		"Customer {p} paid the outstanding balance of {a} {m}, {d}.",
		"Open item of {o} paid by {p} {m} on {d}: {a}.",
	},
	"settle": {
		"Settled the open bill of {p}, {a}, {m} on {d}.",
		"{d}: paid {p} {a} {m} for their invoice {r} of {o}.",
		"We cleared what we owed {p}: {a} {m} on {d}.",
		"Supplier {p} got {a} {m} on {d} for the outstanding balance.",
		"{w} paid the overdue bill {r} of {p} {m} on {d}, {a}.",
	},
	"borrow": {
		"{p} granted us a loan; {a} arrived {m} on {d}.",
		"{d}: took out a loan of {a} from {p}, received {m}.",
		"Borrowed {a} from {p} on {d}, paid out {m}, contract {r} of {o}.",
		"Loan {r} from {p}, {a} received {m} {d}.",
	},
	"repay": {
		"Repaid {a} of the loan to {p} {m} on {d}.",
		"{d}: loan instalment to {p}, {a}, {m}.",
		"We paid {p} {a} {m} on {d} towards loan {r} of {o}.",
		"Instalment no. {q} of the {p} loan: {a} {m}, {d}.",
	},
}

var englishTails = []string{"Booked by {w}.", "Ref. {r}.", "Entered on {o}.", "Delivery by {c}.", "{w} has the receipt.", "File {r}, page {q}.", "Approved by {w} on {o}.", "See order {r}."}

var chineseFrames = map[string][]string{
	"buy": {
		"{d}，用{m}向{p}支付{t}{a}。",
		"{d}从{p}购买{t}，{a}，{m}付款。",
		"{p}的{t}，{a}，{d}已用{m}付清。",
		"{w}{d}在{p}买了{t}，{m}支付{a}。",
		"收到{p}{o}开的发票{r}，{t}{a}，{d}以{m}支付。",
		"{d}报销：{t}，{p}，{a}，{m}。",
		"{m}支付{p}{t}款{a}，{d}，订单{r}。",
		"{o}下单，{d}用{m}付款：{p}，{t}，{a}。",
	},
	"credit": {
		"{d}从{p}赊购{t}，{a}，尚未付款。",
		"{d}收到{p}发票{r}，{t}{a}，{o}前付款。",
		"{p}{d}送来{t}，{a}，货款未付。",
		"{t}由{p}提供，{d}入账{a}，欠款{o}到期。",
		"{w}向{p}订了{t}，{d}的账单{a}暂欠。",
	},
	"refund": {
		"{p}{d}退回{t}款{a}，{m}到账。",
		"{d}，{t}退货，{p}以{m}退给我们{a}。",
		"{o}买的{t}有问题，{p}{d}用{m}退款{a}。",
		"收到供应商{p}退款{a}，{t}，{m}，{d}，单号{r}。",
	},
	"sell": {
		"{d}向{p}销售{t}，{a}，对方{m}付款。",
		"{p}{d}购买我们的{t}，{m}收款{a}。",
		"{d}收到{p}支付的{t}款{a}，{m}。",
		"订单{r}：卖给{p}{t}，{d}{m}收到{a}，{o}由{c}发货。",
		"客户{p}买走{t}，{a}，{m}收讫，{d}。",
		"{w}{d}卖给{p}{t}，{m}入账{a}。",
	},
	"invoice": {
		"{d}向{p}开具发票{r}，{t}{a}，款未收。",
		"{d}赊销{t}给{p}，{a}，{o}到期。",
		"{p}要的{t}已由{c}发出，{d}开票{a}，对方尚未付款。",
		"{d}给{p}提供{t}，应收{a}，约定{o}付。",
	},
	"return": {
		"{d}退还客户{p}{t}款{a}，{m}支付。",
		"客户{p}退回{t}，我们{d}用{m}退款{a}。",
		"{o}卖给{p}的{t}有瑕疵，{d}以{m}退给对方{a}。",
		"{p}投诉{t}，{d}{m}退其{a}，单号{r}。",
	},
	"collect": {
		"{p}{d}用{m}付清所欠我们的货款{a}。",
		"{d}收回{p}应收款{a}，{m}，发票{r}。",
		"{p}{o}的欠款{a}，{d}{m}到账。",
		"客户{p}{d}以{m}结清余款{a}。",
	},
	"settle": {
		"{d}用{m}付清欠{p}的货款{a}。",
		"{d}支付{p}{o}的应付账款{a}，{m}。",
		"{w}{d}以{m}结清供应商{p}的旧账{a}，发票{r}。",
		"欠{p}的{a}，{d}已用{m}还清。",
	},
	"borrow": {
		"{d}从{p}取得贷款{a}，{m}到账。",
		"{p}发放借款{a}，{d}{m}收到，合同{r}。",
		"{o}签约，{d}{p}贷款{a}以{m}入账。",
	},
	"repay": {
		"{d}用{m}归还{p}贷款{a}。",
		"偿还{p}第{q}期贷款{a}，{m}，{d}。",
		"{d}以{m}支付{p}借款本金{a}，合同{r}。",
	},
}

var chineseTails = []string{"经办人{w}。", "单号{r}。", "{o}录入。", "{c}送货。", "发票在{w}处。", "{o}由{w}审批。", "见合同{r}。"}
